import Testing

@testable import Architectures

/// Parameters map to the right rows of a checkpoint's tensors, with fused, permuted and transposed storage.
@Suite struct TensorNamesTests {
    /// Two layers of 4 query heads of 6 features that read 2 key-value heads.
    private func model(_ type: String, _ changes: [String: String] = [:]) throws -> ModelDescription {
        let keys = [
            "hidden_size": "24", "num_hidden_layers": "2", "num_attention_heads": "4", "num_key_value_heads": "2",
            "head_dim": "6",
        ]
        return try ModelDescription(
            configurationFile(smallConfiguration(type, keys.merging(changes) { $1 })))
    }

    private func source(
        _ model: ModelDescription, _ name: ParameterName, _ role: Parameter.Role = .matrix
    ) throws -> ParameterSource {
        let parameter = try #require(model.decoder.parameters().first { $0.name == name && $0.role == role })
        let sources = model.names.sources(of: parameter, in: model.decoder)
        #expect(sources.count == 1)
        return sources[0]
    }

    private func rows(_ source: ParameterSource, _ range: Range<Int>) -> [Int] { range.map(source.rows.stored) }

    @Test func separateMatricesAreWhole() throws {
        let source = try source(model("llama"), .key(layer: 1))
        #expect(source.tensor == "model.layers.1.self_attn.k_proj.weight" && source.storedRows == 12)
        #expect(source.rows.isIdentity && !source.isTransposed)
    }

    @Test func stackedPartsFollowEachOther() throws {
        let model = try model("phi3")
        let fused = "model.layers.0.self_attn.qkv_proj.weight"
        for (part, first, count) in [(LayerPart.query, 0, 24), (.key, 24, 12), (.value, 36, 12)] {
            let source = try source(model, .layer(0, part))
            #expect(source.tensor == fused && source.storedRows == 48)
            #expect(source.rows.runs(of: 0..<count) == [first..<first + count])
        }
        let up = try source(model, .up(layer: 1))
        #expect(up.tensor == "model.layers.1.mlp.gate_up_proj.weight" && up.storedRows == 192)
        #expect(up.rows.runs(of: 3..<5) == [99..<101])
    }

    /// Each key-value head has two query heads, its key and its value, of 6 rows each.
    @Test func groupsFollowEachOther() throws {
        let model = try model("internlm2", ["bias": "true"])
        let query = try source(model, .query(layer: 0))
        #expect(query.tensor == "model.layers.0.attention.wqkv.weight" && query.storedRows == 48)
        #expect(query.rows.runs(of: 0..<24) == [0..<12, 24..<36])
        #expect(try source(model, .key(layer: 0)).rows.runs(of: 0..<12) == [12..<18, 36..<42])
        #expect(try source(model, .value(layer: 0)).rows.runs(of: 0..<12) == [18..<24, 42..<48])
        let bias = try source(model, .value(layer: 1), .bias)
        #expect(bias.tensor == "model.layers.1.attention.wqkv.bias" && rows(bias, 5..<7) == [23, 42])
    }

    /// Pairs (0, 1), (2, 3) of the first 4 of 8 features become (0, 2), (1, 3); the others stay.
    @Test func interleavedPairsAreTakenApart() throws {
        let gpt = """
            {"model_type": "gptj", "n_embd": 24, "n_layer": 1, "n_head": 3, "rotary_dim": 4, "vocab_size": 10, "n_positions": 9}
            """
        let model = try ModelDescription(configurationFile(gpt))
        let key = try source(model, .key(layer: 0))
        #expect(rows(key, 0..<16) == [0, 2, 1, 3, 4, 5, 6, 7, 8, 10, 9, 11, 12, 13, 14, 15])
        #expect(try source(model, .value(layer: 0)).rows.isIdentity)
        #expect(model.decoder.head.hasBias)
        #expect(try source(model, .head, .bias).tensor == "lm_head.bias")
    }

    /// ChatGLM combines stacking, interleaved pairs, biases, and rotation of half of each head.
    @Test func arrangementsCombine() throws {
        let glm = """
            {"model_type": "chatglm", "hidden_size": 24, "num_layers": 1, "num_attention_heads": 3, "kv_channels": 8,
             "multi_query_attention": true, "multi_query_group_num": 1, "ffn_hidden_size": 10, "padded_vocab_size": 7,
             "seq_length": 9, "add_qkv_bias": true}
            """
        let model = try ModelDescription(configurationFile(glm))
        let key = try source(model, .key(layer: 0), .bias)
        #expect(key.storedRows == 40 && rows(key, 0..<8) == [24, 26, 25, 27, 28, 29, 30, 31])
        #expect(try source(model, .up(layer: 0)).rows.runs(of: 0..<10) == [10..<20])
    }

    @Test func transposedMatricesHaveStraightBiases() throws {
        let gpt =
            #"{"model_type": "gpt2", "n_embd": 24, "n_layer": 1, "n_head": 3, "vocab_size": 10, "n_positions": 9}"#
        let model = try ModelDescription(configurationFile(gpt))
        let value = try source(model, .value(layer: 0))
        #expect(value.tensor == "transformer.h.0.attn.c_attn.weight" && value.isTransposed && value.storedRows == 72)
        #expect(value.rows.runs(of: 0..<24) == [48..<72])
        #expect(try !source(model, .value(layer: 0), .bias).isTransposed)
        // The published files have no prefix.
        let bare = model.names.located { $0 == "wte.weight" }
        #expect(bare.module(.query(layer: 0)) == "h.0.attn.c_attn" && bare.module(.head) == "lm_head")
        #expect(bare.layer(of: "h.0.ln_1.bias") == 0 && model.names.layer(of: "h.0.ln_1.bias") == nil)
        #expect(model.names.located { _ in false }.module(.embedding) == "transformer.wte")
    }

    /// What tools put before a family's names, or in their place.
    @Test(arguments: [
        ("language_model.model.", "language_model.lm_head"), ("model.language_model.", "lm_head"),
        ("model.", "lm_head"), ("", "lm_head"), ("transformer.model.", "transformer.lm_head"),
    ])
    func prefixesOfTools(prefix: String, head: String) {
        let held: Set = ["\(prefix)embed_tokens.weight", "\(head).weight"]
        let names = TensorNames.huggingFace.located(held.contains)
        #expect(names.module(.query(layer: 3)) == "\(prefix)layers.3.self_attn.q_proj")
        #expect(names.module(.head) == head && names.module(.finalNorm) == "\(prefix)norm")
    }

    /// StableLM 2 stores the norms of heads as tensors of their own.
    @Test func normsOfHeadsHaveTensorsOfTheirOwn() throws {
        let model = try model("stablelm", ["qk_layernorm": "true", "partial_rotary_factor": "1"])
        let attention = model.decoder.layers[1].attention
        let norm = try #require(model.decoder.parameters().first { $0.name == .layer(1, .keyNorm) })
        let sources = model.names.sources(of: norm, in: model.decoder)
        #expect(
            sources.map(\.tensor)
                == (0..<attention.keyValueHeadCount).map {
                    "model.layers.1.self_attn.k_layernorm.norms.\($0).weight"
                })
        #expect(norm.shape == [sources.count * attention.headDimension])
        #expect(sources.allSatisfy { $0.storedRows == attention.headDimension })
    }

    @Test func expertsHaveTensorsOfTheirOwn() throws {
        let model = try model(
            "mixtral", ["num_local_experts": "4", "num_experts_per_tok": "2", "intermediate_size": "96"])
        let parameter = try #require(model.decoder.parameters().first { $0.name == .layer(1, .expertUp) })
        #expect(
            model.names.sources(of: parameter, in: model.decoder).map(\.tensor)
                == (0..<4).map { "model.layers.1.block_sparse_moe.experts.\($0).w3.weight" })
    }

    @Test func storedDifferencesFromOneAreTold() throws {
        let model = try model("gemma2")
        for name in [ParameterName.finalNorm, .attentionNorm(layer: 0), .layer(1, .afterFeedForwardNorm)] {
            #expect(try source(model, name, .norm).offset == 1)
        }
        #expect(try source(model, .query(layer: 0)).offset == 0)
        #expect(try source(self.model("qwen3"), .layer(0, .queryNorm), .norm).offset == 0)
    }

    /// Every family stores all parts of a layer, each in its own rows.
    @Test func partsOfAModuleNeverOverlap() throws {
        for entry in ModelCatalogue.entries {
            let model = try ModelDescription(entry.configuration)
            var taken: [String: Set<Int>] = [:]
            var sizes: [String: Int] = [:]
            for parameter in model.decoder.parameters(of: model.decoder.layers[0], at: 0) where parameter.role == .norm
            {
                for source in model.names.sources(of: parameter, in: model.decoder) {
                    for row in 0..<parameter.count {
                        #expect(taken[source.tensor, default: []].insert(source.rows.stored(row)).inserted)
                    }
                    sizes[source.tensor] = source.storedRows
                }
            }
            for parameter in model.decoder.parameters(of: model.decoder.layers[0], at: 0)
            where parameter.role == .matrix {
                for source in model.names.sources(of: parameter, in: model.decoder) where !source.isTransposed {
                    let rows = parameter.shape[parameter.shape.count - 2]
                    for row in 0..<rows {
                        #expect(
                            taken[source.tensor, default: []].insert(source.rows.stored(row)).inserted,
                            "\(entry.name) \(parameter.name) \(row)")
                    }
                    sizes[source.tensor] = source.storedRows
                }
            }
            for (tensor, rows) in taken { #expect(rows == Set(0..<(sizes[tensor] ?? 0)), "\(entry.name) \(tensor)") }
        }
    }

    /// The slopes of 8 and of 10 heads are those of Press's code.
    ///
    /// Source: `get_slopes` in the repository attention_with_linear_biases.
    @Test func slopesAreThoseOfThePaper() {
        let eight: [Float] = [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]
        #expect(LinearBias().slopes(headCount: 8) == eight)
        let ten = LinearBias().slopes(headCount: 10)
        #expect(Array(ten.prefix(8)) == eight)
        #expect(abs(ten[8] - 0.70710678) < 1e-7 && abs(ten[9] - 0.35355339) < 1e-7)
        #expect(LinearBias(maximum: 4).slopes(headCount: 2) == [0.25, 0.0625])
        #expect(LinearBias().slopes(headCount: 1) == [0.00390625])
    }
}

import Architectures
import Testing
import Topology

@Suite struct FamilyTests {
    private let attention = GroupedQueryAttention(
        queryHeadCount: 8, keyValueHeadCount: 4, headDimension: 8,
        rotation: Rotation(RotaryEmbedding(theta: 10_000, trainedLength: 2048), dimension: 8))
    private let norm = NormConfiguration(kind: .rms, epsilon: 1e-5)

    private func expected(_ modelType: String, _ attentions: [GroupedQueryAttention]) -> DecoderConfiguration {
        DecoderConfiguration(
            modelType: modelType, hiddenSize: 64, vocabularySize: 160, tiesEmbeddings: false, positionLimit: 2048,
            layers: attentions.map {
                LayerConfiguration(
                    attention: .groupedQuery($0),
                    feedForward: .dense(FeedForward(intermediateSize: 96, activation: .silu)), norm: norm)
            }, finalNorm: norm)
    }

    private func attentions(_ change: (inout GroupedQueryAttention, Int) -> Void) -> [GroupedQueryAttention] {
        (0..<3).map { layer in
            var attention = attention
            change(&attention, layer)
            return attention
        }
    }

    @Test func llama() throws {
        #expect(try decoder(smallConfiguration()) == expected("llama", attentions { _, _ in }))
        // A file may leave out or set these keys.
        let plain = try decoder(
            smallConfiguration("llama", ["num_key_value_heads": "null", "rope_theta": "null", "rms_norm_eps": "null"]))
        #expect(plain.layers[0].attention.keyValueHeadCount == 8)
        #expect(plain.layers[0].attention.rotation?.embedding.theta == 10_000 && plain.finalNorm.epsilon == 1e-6)
        let rich = try decoder(
            smallConfiguration(
                "llama",
                [
                    "attention_bias": "true", "mlp_bias": "true", "tie_word_embeddings": "true", "head_dim": "16",
                    "hidden_act": "\"silu\"",
                ]))
        #expect(rich.tiesEmbeddings)
        for layer in rich.layers {
            guard case .groupedQuery(let attention) = layer.attention, case .dense(let feedForward) = layer.feedForward
            else { return #expect(Bool(false), "not Llama's kinds") }
            #expect(attention.hasInputBias && attention.hasOutputBias && feedForward.hasBias)
        }
        #expect(rich.layers.allSatisfy { $0.attention.headDimension == 16 })
    }

    @Test func mistral() throws {
        #expect(
            try decoder(smallConfiguration("mistral", ["sliding_window": " null"]))
                == expected("mistral", attentions { _, _ in }))
        #expect(
            try decoder(smallConfiguration("mistral", ["sliding_window": "24"]))
                == expected("mistral", attentions { attention, _ in attention.window = 24 }))
    }

    @Test func qwen2() throws {
        let window = ["sliding_window": "24", "use_sliding_window": "true"]
        let base = expected("qwen2", attentions { attention, _ in attention.hasInputBias = true })
        #expect(try decoder(smallConfiguration("qwen2")) == base)
        #expect(
            try decoder(smallConfiguration("qwen2", ["sliding_window": "24", "use_sliding_window": "false"])) == base)
        let second = expected(
            "qwen2",
            attentions { attention, layer in
                attention.hasInputBias = true
                attention.window = layer == 1 ? 24 : nil
            })
        #expect(
            try decoder(
                smallConfiguration(
                    "qwen2",
                    window.merging(["layer_types": #"["full_attention", "sliding_attention", "full_attention"]"#]) {
                        $1
                    }))
                == second)
        let from = try decoder(smallConfiguration("qwen2", window.merging(["max_window_layers": "2"]) { $1 }))
        #expect(from.layers.map(\.attention.window) == [nil, nil, 24])
        #expect(try decoder(smallConfiguration("qwen2", window)).layers.allSatisfy { $0.attention.window == nil })
        let message = refusal(smallConfiguration("qwen2", ["layer_types": #"["full_attention"]"#]))
        #expect(message?.contains("1 kinds for 3 layers") == true)
    }

    @Test func modelTypesAreUniqueAndOthersRefused() throws {
        let types = ModelFamily.all.flatMap(\.modelTypes)
        #expect(Set(types).count == types.count)
        for type in ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "internlm2"] {
            let decoder = try decoder(smallConfiguration(type))
            #expect(decoder.modelType == type && decoder.uncomputedFeatures == [])
        }
        let message = try #require(refusal(smallConfiguration("qwen9")))
        for word in ["model/config.json", "\"qwen9\"", "llama", "mistral", "qwen2"] { #expect(message.contains(word)) }
    }

    @Test func tensorNamesAreHuggingFaces() {
        let names = TensorNames.huggingFace
        let expected: [(ParameterName, String)] = [
            (.embedding, "model.embed_tokens"), (.finalNorm, "model.norm"), (.head, "lm_head"),
            (.attentionNorm(layer: 0), "model.layers.0.input_layernorm"),
            (.query(layer: 7), "model.layers.7.self_attn.q_proj"),
            (.key(layer: 7), "model.layers.7.self_attn.k_proj"), (.value(layer: 7), "model.layers.7.self_attn.v_proj"),
            (.attentionOutput(layer: 10), "model.layers.10.self_attn.o_proj"),
            (.feedForwardNorm(layer: 1), "model.layers.1.post_attention_layernorm"),
            (.gate(layer: 1), "model.layers.1.mlp.gate_proj"),
            (.up(layer: 1), "model.layers.1.mlp.up_proj"), (.down(layer: 31), "model.layers.31.mlp.down_proj"),
        ]
        for (name, module) in expected { #expect(names.module(name) == module) }
    }

    @Test func tensorsThatAreNotNeededAreKnownByName() {
        let names = TensorNames.huggingFace
        #expect(names.unusedKind(of: "model.layers.3.self_attn.rotary_emb.inv_freq", layerCount: 4)?.isUsual == true)
        for name in [
            "model.layers.3.self_attn.rotary_emb.cos_cached", "model.layers.0.self_attn.k_scale",
            "model.layers.0.self_attn.k_proj.output_scale", "model.layers.4.self_attn.q_proj.weight",
            "model.layers.4.mlp.gate_proj.weight", "score.weight", "mtp.layers.0.weight", "model.mtp_layers.0.weight",
            "model.layers.1.self_attn.masked_bias", "model.position_ids",
        ] {
            #expect(names.unusedKind(of: name, layerCount: 4)?.isUsual == false, "\(name)")
        }
        for name in [
            "model.layers.3.self_attn.q_proj.bias", "model.layers.3.self_attn.q_norm.weight", "lm_head.bias",
            "model.layers.3.mlp.scale", "model.layers.x.weight",
        ] {
            #expect(names.unusedKind(of: name, layerCount: 4) == nil, "\(name)")
        }
        #expect(
            names.layer(of: "model.layers.31.mlp.up_proj.weight") == 31 && names.layer(of: "model.norm.weight") == nil)
    }

    /// The default of each family's class in transformers applies to a missing key; the key's older name works too.
    @Test func limitsThatAFileLeavesOut() throws {
        for (type, limit) in [("llama", 2048), ("mistral", 131_072), ("qwen2", 32_768)] {
            let without = ["max_position_embeddings": "null"]
            #expect(try decoder(smallConfiguration(type, without)).positionLimit == limit, "\(type)")
            let older = without.merging(["max_sequence_length": "4096"]) { $1 }
            #expect(try decoder(smallConfiguration(type, older)).positionLimit == 4096, "\(type)")
        }
    }

    @Test func kindsOfLayersAreChecked() throws {
        func kinds(_ kind: String) -> [String: String] { ["layer_types": "[\"\(kind)\", \"\(kind)\", \"\(kind)\"]"] }
        for (type, kind) in [("llama", "full_attention"), ("qwen2", "full_attention")] {
            #expect(try decoder(smallConfiguration(type, kinds(kind))) == decoder(smallConfiguration(type)))
        }
        let window = ["sliding_window": "24"]
        #expect(
            try decoder(smallConfiguration("mistral", kinds("sliding_attention").merging(window) { $1 }))
                == decoder(smallConfiguration("mistral", window)))
        let full = try decoder(smallConfiguration("mistral", kinds("full_attention").merging(window) { $1 }))
        #expect(full.layers.allSatisfy { $0.attention.window == nil })
        for (type, kind, more) in [
            ("llama", "sliding_attention", [:]), ("mistral", "full_atention", window),
            ("qwen2", "full_atention", [:]), ("qwen2", "linear_attention", window),
        ] {
            let message = refusal(smallConfiguration(type, kinds(kind).merging(more) { $1 }))
            #expect(
                message?.contains("layer_types") == true && message?.contains("\"\(kind)\"") == true, "\(type) \(kind)")
        }
    }
}

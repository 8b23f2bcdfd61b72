// Families of which only the shape is known: `sizing` plans for them, and the runtime does not compute them yet.

extension ModelFamily {
    /// A family that plans know and the runtime does not compute yet.
    private static func described(
        _ modelTypes: [String],
        _ configure: @escaping @Sendable (ConfigurationFile) throws(ConfigurationError) -> DecoderConfiguration
    ) -> ModelFamily {
        ModelFamily(modelTypes: modelTypes, tensorNames: .huggingFace, isComputed: false, configure: configure)
    }

    static let describedFamilies: [ModelFamily] = [
        described(["qwen"]) { file throws(ConfigurationError) in
            // The file's width is that of gate and up together.
            try ShapeReader(file, lengths: ["max_position_embeddings", "seq_length"]).decoder(
                intermediate: file.integer("intermediate_size", in: ShapeReader.sizes) / 2
            ) { attention, _ in attention.hasInputBias = true }
        },
        described(["chatglm"]) { file throws(ConfigurationError) in
            let isShared = try file.optionalBool("multi_query_attention") ?? false
            let hasBias = try file.optionalBool("add_qkv_bias") ?? false
            return try ShapeReader(
                file, layers: "num_layers", keyValueHeads: isShared ? "multi_query_group_num" : nil,
                headDimension: "kv_channels", vocabulary: "padded_vocab_size", lengths: ["seq_length"]
            ).decoder(intermediate: file.integer("ffn_hidden_size", in: ShapeReader.sizes)) { attention, _ in
                attention.hasInputBias = hasBias
            }
        },
        described(["baichuan"]) { file throws(ConfigurationError) in
            // The 13B models have no rotary embedding, and so no limit that it sets.
            let isRotary = file.has("max_position_embeddings")
            return try ShapeReader(file, lengths: ["max_position_embeddings", "model_max_length"]).decoder {
                attention, _ in attention.hasLinearBias = !isRotary
            }
        },
        described(["gemma", "gemma2"]) { file throws(ConfigurationError) in
            let second = try file.optionalString("model_type") == "gemma2"
            let window = second ? try file.optionalInteger("sliding_window", in: 1...1 << 30) : nil
            var decoder = try ShapeReader(file, ties: true).decoder { attention, layer in
                attention.window = layer % 2 == 0 ? window : nil
            }
            if second { decoder.changeLayers { $0.norms = .around } }
            return decoder
        },
        described(["gemma3_text"]) { file throws(ConfigurationError) in
            let window = try file.optionalInteger("sliding_window", in: 1...1 << 30)
            let every = try file.optionalInteger("sliding_window_pattern", in: 1...1 << 12) ?? 6
            var decoder = try ShapeReader(
                file, ties: true, countsScaling: false,
                defaults: [
                    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262_208,
                    "max_position_embeddings": 131_072,
                ]
            ).decoder { attention, layer in
                attention.queryKeyNorm = .perHead
                attention.window = (layer + 1) % every == 0 ? nil : window
            }
            decoder.changeLayers { $0.norms = .around }
            return decoder
        },
        described(["qwen3"]) { file throws(ConfigurationError) in
            let hasBias = try file.optionalBool("attention_bias") ?? false
            return try ShapeReader(file).decoder { attention, _ in
                attention.queryKeyNorm = .perHead
                (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
            }
        },
        described(["phi3", "internlm2"]) { file throws(ConfigurationError) in try ShapeReader(file).decoder() },
        described(["olmo2"]) { file throws(ConfigurationError) in
            var decoder = try ShapeReader(file).decoder { attention, _ in attention.queryKeyNorm = .allHeads }
            decoder.changeLayers { $0.norms = .after }
            return decoder
        },
        described(["falcon"]) { file throws(ConfigurationError) in
            let isNew = try file.optionalBool("new_decoder_architecture") ?? false
            let isShared = try file.optionalBool("multi_query") ?? true
            let isParallel = try file.optionalBool("parallel_attn") ?? true
            let normCount = try file.optionalInteger("num_ln_in_parallel_attn", in: 1...2) ?? (isNew ? 2 : 1)
            let hidden = try file.integer("hidden_size", in: ShapeReader.sizes)
            let width = try file.optionalInteger("ffn_hidden_size", in: ShapeReader.sizes) ?? 4 * hidden
            let hasBias = try file.optionalBool("bias") ?? false
            let isLinear = try file.optionalBool("alibi") ?? false
            var decoder = try ShapeReader(
                file, keyValueHeads: isNew ? "num_kv_heads" : nil, lengths: ["max_position_embeddings"], ties: true,
                defaults: ["max_position_embeddings": 2048]
            ).decoder(intermediate: width) { attention, _ in
                if !isNew && isShared { attention.keyValueHeadCount = 1 }
                attention.hasLinearBias = isLinear
                (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
            }
            decoder.changeLayers {
                $0.norms = isParallel && normCount == 1 ? .shared : .before
                $0.feedForward = .plain(GatedFeedForward(intermediateSize: width, hasBias: hasBias))
            }
            decoder.hasNormBias = true
            return decoder
        },
        described(["mixtral"]) { file throws(ConfigurationError) in
            let width = try file.integer("intermediate_size", in: ShapeReader.sizes)
            let experts = try file.experts("num_local_experts", size: width)
            return try ShapeReader(file).decoder().replacingFeedForward { _ in .experts(experts) }
        },
        described(["qwen2_moe", "qwen3_moe"]) { file throws(ConfigurationError) in
            let second = try file.optionalString("model_type") == "qwen2_moe"
            var experts = try file.experts(
                "num_experts", size: file.integer("moe_intermediate_size", in: ShapeReader.sizes))
            if second {
                experts.sharedSize =
                    try file.optionalInteger("shared_expert_intermediate_size", in: 0...1 << 20) ?? 0
                experts.hasSharedGate = experts.sharedSize > 0
            }
            let step = try file.optionalInteger("decoder_sparse_step", in: 1...1 << 12) ?? 1
            let dense = Set(try file.tokenIDs("mlp_only_layers"))
            return try ShapeReader(file).decoder { attention, _ in
                attention.hasInputBias = second
                attention.queryKeyNorm = second ? .none : .perHead
            }.replacingFeedForward { ($0 + 1) % step == 0 && !dense.contains($0) ? .experts(experts) : nil }
        },
        described(["llama4_text"]) { file throws(ConfigurationError) in
            let width = try file.integer("intermediate_size", in: ShapeReader.sizes)
            var experts = try file.experts("num_local_experts", size: width)
            experts.sharedSize = width
            let step = try file.optionalInteger("interleave_moe_layer_step", in: 1...1 << 12) ?? 1
            let chunk = try file.optionalInteger("attention_chunk_size", in: 1...1 << 30)
            let dense = try file.optionalInteger("intermediate_size_mlp", in: ShapeReader.sizes)
            return try ShapeReader(file).decoder(intermediate: dense ?? width) { attention, layer in
                attention.window = (layer + 1) % 4 == 0 ? nil : chunk
            }.replacingFeedForward { ($0 + 1) % step == 0 ? .experts(experts) : nil }
        },
        described(["gpt_oss"]) { file throws(ConfigurationError) in
            var experts = try file.experts(
                "num_local_experts", size: file.integer("intermediate_size", in: ShapeReader.sizes))
            (experts.hasRouterBias, experts.hasBias) = (true, true)
            let window = try file.optionalInteger("sliding_window", in: 1...1 << 30)
            return try ShapeReader(file).decoder { attention, layer in
                (attention.hasInputBias, attention.hasOutputBias, attention.hasSinks) = (true, true, true)
                attention.window = layer % 2 == 0 ? window : nil
            }.replacingFeedForward { _ in .experts(experts) }
        },
        described(["glm4_moe"]) { file throws(ConfigurationError) in
            let experts = try file.deepSeekExperts(hasCorrection: true)
            let hasBias = try file.optionalBool("attention_bias") ?? false
            let hasNorm = try file.optionalBool("use_qk_norm") ?? false
            return try ShapeReader(file).decoder { attention, _ in
                attention.hasInputBias = hasBias
                attention.queryKeyNorm = hasNorm ? .perHead : .none
            }.replacingFeedForward { $0 < experts.firstLayer ? nil : .experts(experts.experts) }
        },
        described(["deepseek_v2", "deepseek_v3"]) { file throws(ConfigurationError) in
            let experts = try file.deepSeekExperts(
                hasCorrection: file.optionalString("model_type") == "deepseek_v3")
            let sizes = ShapeReader.sizes
            let latent = LatentAttention(
                headCount: try file.integer("num_attention_heads", in: 1...1 << 16),
                queryRank: try file.optionalInteger("q_lora_rank", in: sizes),
                keyValueRank: try file.integer("kv_lora_rank", in: sizes),
                rotatedDimension: try file.integer("qk_rope_head_dim", in: 1...1 << 16),
                plainDimension: try file.integer("qk_nope_head_dim", in: 1...1 << 16),
                valueDimension: try file.integer("v_head_dim", in: 1...1 << 16))
            var decoder = try ShapeReader(file, headDimension: "v_head_dim").decoder()
                .replacingFeedForward { $0 < experts.firstLayer ? nil : .experts(experts.experts) }
            decoder.changeLayers { $0.attention = .latent(latent) }
            return decoder
        },
        described(["llava", "llava_next", "gemma3", "llama4", "mistral3"]) { file throws(ConfigurationError) in
            guard let text = try file.optionalObject("text_config") else {
                throw file.unsupported("text_config", "it is missing")
            }
            var decoder = try ModelFamily.decoder(ofPart: text)
            decoder.companions = try file.companions(width: decoder.hiddenSize)
            return decoder
        },
        described(["internvl_chat"]) { file throws(ConfigurationError) in
            guard let text = try file.optionalObject("llm_config") else {
                throw file.unsupported("llm_config", "it is missing")
            }
            var decoder = try ModelFamily.decoder(ofPart: text)
            decoder.companions = try file.companions(width: decoder.hiddenSize)
            return decoder
        },
        described(["minicpmv"]) { file throws(ConfigurationError) in
            var decoder = try ShapeReader(file).decoder { attention, _ in attention.hasInputBias = true }
            decoder.companions = try file.companions(width: decoder.hiddenSize)
            return decoder
        },
    ]

    /// The decoder inside a model of several parts.
    private static func decoder(ofPart file: ConfigurationFile) throws(ConfigurationError) -> DecoderConfiguration {
        let named = try ModelFamily.named(by: file)
        // A part that is itself made of parts would have no end.
        let hasText = try file.optionalObject("text_config") != nil
        let hasParts = try file.optionalObject("llm_config") != nil || hasText
        guard named.isComputed || !hasParts else {
            throw file.unsupported("model_type", "a model inside a model's part is not supported")
        }
        // Files of models made from Llama 2 7B or Mistral 7B leave out what is as there.
        guard let defaults = partDefaults[named.modelTypes[0]], !file.has("hidden_size") else {
            return try named.configure(file)
        }
        return try ShapeReader(file, defaults: defaults).decoder()
    }

    private static let partDefaults: [String: [String: Int]] = [
        "llama": [
            "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 11008,
            "vocab_size": 32000, "max_position_embeddings": 2048,
        ],
        "mistral": [
            "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
            "intermediate_size": 14336, "vocab_size": 32000, "max_position_embeddings": 32768,
        ],
    ]
}

/// Reads what most families have in common, whatever their keys are.
private struct ShapeReader {
    static let sizes = 1...1 << 20

    let file: ConfigurationFile
    var layers = "num_hidden_layers"
    var keyValueHeads: String? = "num_key_value_heads"
    var headDimension = "head_dim"
    var vocabulary = "vocab_size"
    /// The first that is there is the model's limit.
    var lengths = ["max_position_embeddings"]
    /// Whether the head is the embedding if the file does not say.
    var ties = false
    /// Whether scaled rotary embedding reaches beyond the limit that the file gives.
    var countsScaling = true
    var defaults: [String: Int] = [:]

    init(
        _ file: ConfigurationFile, layers: String = "num_hidden_layers",
        keyValueHeads: String? = "num_key_value_heads", headDimension: String = "head_dim",
        vocabulary: String = "vocab_size", lengths: [String] = ["max_position_embeddings"], ties: Bool = false,
        countsScaling: Bool = true, defaults: [String: Int] = [:]
    ) {
        self.file = file
        self.layers = layers
        self.keyValueHeads = keyValueHeads
        self.headDimension = headDimension
        self.vocabulary = vocabulary
        self.lengths = lengths
        self.ties = ties
        self.countsScaling = countsScaling
        self.defaults = defaults
    }

    private func integer(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
        let given = try file.optionalInteger(key, in: range)
        if let value = given ?? defaults[key] { return value }
        return try file.integer(key, in: range)
    }

    /// A decoder of layers like Llama's.
    ///
    /// - Parameter intermediate: the feed-forward's width; nil: what the usual key says.
    func decoder(
        intermediate: Int? = nil, _ change: (inout GroupedQueryAttention, _ layer: Int) -> Void = { _, _ in }
    ) throws(ConfigurationError) -> DecoderConfiguration {
        let hidden = try integer("hidden_size", in: Self.sizes)
        let heads = try integer("num_attention_heads", in: 1...1 << 16)
        var shared = heads
        if let keyValueHeads {
            shared = try file.optionalInteger(keyValueHeads, in: 1...heads) ?? defaults[keyValueHeads] ?? heads
        }
        guard shared <= heads, heads % shared == 0 else {
            throw file.unsupported(
                keyValueHeads ?? "num_attention_heads",
                "\(heads) query heads cannot share \(shared) key-value heads evenly")
        }
        let given = try file.optionalInteger(headDimension, in: 1...1 << 16) ?? defaults[headDimension]
        guard let dimension = given ?? (hidden % heads == 0 ? hidden / heads : nil), heads * dimension <= 1 << 24 else {
            throw file.unsupported("hidden_size", "\(hidden) is not \(heads) heads, and \(headDimension) is not given")
        }
        let width: Int
        if let intermediate { width = intermediate } else { width = try integer("intermediate_size", in: Self.sizes) }
        let limitKey = lengths.first { file.has($0) } ?? lengths[0]
        let limit = try integer(limitKey, in: 1...1 << 30)
        // Files with scalings that are not computed yet, such as longrope, give the limit with the scaling.
        let reach = countsScaling ? (try? RotaryEmbedding(file, defaultLength: limit))?.reach : nil
        let layer = LayerConfiguration(
            attention: .groupedQuery(
                GroupedQueryAttention(queryHeadCount: heads, keyValueHeadCount: shared, headDimension: dimension)),
            feedForward: .gated(GatedFeedForward(intermediateSize: width)))
        var decoder = DecoderConfiguration(
            modelType: try file.optionalString("model_type") ?? "", hiddenSize: hidden,
            vocabularySize: try integer(vocabulary, in: 1...1 << 24),
            tiesEmbeddings: try file.optionalBool("tie_word_embeddings") ?? ties, normEpsilon: 1e-6,
            positionLimit: max(limit, reach ?? limit), rotary: RotaryEmbedding(theta: 10_000, trainedLength: limit),
            layers: Array(repeating: layer, count: try integer(layers, in: 1...4096)))
        decoder.changeAttention(change)
        return decoder
    }
}

extension DecoderConfiguration {
    fileprivate mutating func changeLayers(_ change: (inout LayerConfiguration) -> Void) {
        for index in layers.indices { change(&layers[index]) }
    }

    /// The same with other feed-forwards where `choose` gives one.
    fileprivate func replacingFeedForward(_ choose: (_ layer: Int) -> FeedForwardKind?) -> DecoderConfiguration {
        var result = self
        for index in layers.indices {
            if let kind = choose(index) { result.layers[index].feedForward = kind }
        }
        return result
    }
}

extension ConfigurationFile {
    fileprivate func experts(_ key: String, size: Int) throws(ConfigurationError) -> ExpertFeedForward {
        let count = try integer(key, in: 1...1 << 16)
        let usual = try optionalInteger("num_experts_per_tok", in: 1...count)
        let other = try optionalInteger("experts_per_token", in: 1...count)
        return ExpertFeedForward(expertCount: count, activeCount: usual ?? other ?? 1, expertSize: size)
    }

    fileprivate func deepSeekExperts(hasCorrection: Bool) throws(ConfigurationError) -> (
        experts: ExpertFeedForward, firstLayer: Int
    ) {
        let size = try integer("moe_intermediate_size", in: ShapeReader.sizes)
        var experts = try experts("n_routed_experts", size: size)
        experts.sharedSize = size * (try optionalInteger("n_shared_experts", in: 0...256) ?? 0)
        experts.hasRouterBias = hasCorrection
        return (experts, try optionalInteger("first_k_dense_replace", in: 0...4096) ?? 0)
    }

    /// The parts beside the decoder: by their sizes if the file gives them, else by the tower's shape.
    ///
    /// - Parameter width: the decoder's hidden size, which the tower's features are brought to.
    fileprivate func companions(width: Int) throws(ConfigurationError) -> [Companion] {
        let names = ["vision_tower", "projector"]
        if let given = try optionalObject("companion_parameters") {
            var companions: [Companion] = []
            for name in names {
                if let count = try given.optionalInteger(name, in: 0...1 << 40) {
                    companions.append(Companion(name: name, parameterCount: count))
                }
            }
            return companions
        }
        guard let vision = try optionalObject("vision_config"),
            let hidden = try vision.optionalInteger("hidden_size", in: ShapeReader.sizes),
            let wide = try vision.optionalInteger("intermediate_size", in: ShapeReader.sizes),
            let layers = try vision.optionalInteger("num_hidden_layers", in: 1...4096)
        else { return [] }
        // A vision transformer's: four square matrices and two wide ones a layer, and a table for the patches.
        let patch = try vision.optionalInteger("patch_size", in: 1...1024) ?? 14
        let image = try vision.optionalInteger("image_size", in: patch...1 << 16) ?? 336
        let patches = (image / patch) * (image / patch) + 1
        let layer = 4 * (hidden * hidden + hidden) + 2 * hidden * wide + wide + 5 * hidden
        return [
            Companion(
                name: names[0], parameterCount: layers * layer + hidden * (3 * patch * patch + patches + 5)),
            // A matrix from the tower's features, of four patches where they are joined, and one more but for Gemma.
            Companion(
                name: names[1],
                parameterCount: try optionalString("model_type") == "gemma3"
                    ? hidden * width
                    : (try optionalString("model_type") == "internvl_chat" ? 4 : 1) * hidden * width + width * width
                        + 2 * width),
        ]
    }
}

import Tensors

extension ModelFamily {
    /// MPT: ALiBi, layer norms, no gate, no biases.
    ///
    /// As transformers computes it, which ignores `no_bias`; a checkpoint that has biases all the same is refused.
    static let mpt = ModelFamily("mpt", models: "MPT") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.keys.hiddenSize = "d_model"
        reader.keys.layerCount = "n_layers"
        reader.keys.headCount = "n_heads"
        reader.keys.keyValueHeadCount = nil
        reader.keys.lengths = ["max_seq_len"]
        reader.keys.normEpsilon = "layer_norm_epsilon"
        reader.length = 2048
        reader.norm = NormConfiguration(kind: .layer, epsilon: 1e-5)
        reader.activation = .gelu
        reader.isGated = false
        reader.widthMultiple = try file.optionalInteger("expansion_ratio", in: 1...64) ?? 4
        reader.ties = true
        reader.isRotary = false
        var decoder = try reader.decoder()
        let attention = try file.optionalObject("attn_config")
        let hasSlopes = try attention?.optionalBool("alibi") ?? true
        let maximum = try attention?.optionalNumber("alibi_bias_max", in: 1...64) ?? 8
        let scale = try attention?.optionalNumber("softmax_scale", in: 1e-6...1e6)
        let limit = try attention?.optionalNumber("clip_qkv", in: 1e-3...1e6)
        if !hasSlopes {
            decoder.embedding.learnedPositions = LearnedPositions(count: decoder.positionLimit)
        }
        decoder.changeAttention { attention, _ in
            attention.scores.linearBias = hasSlopes ? LinearBias(maximum: maximum) : nil
            attention.scores.scale = scale.map { Float($0) }
            attention.projectionLimit = limit.map { Float($0) }
        }
        for key in ["qk_ln", "prefix_lm"] where try attention?.optionalBool(key) ?? false {
            decoder.otherFeatures.append("attn_config.\(key)")
        }
        if file.has("logit_scale") { decoder.otherFeatures.append("logit_scale") }
        return ModelDescription(
            decoder,
            TensorNames(
                prefixes: ["transformer."], embedding: "wte", positions: "wpe", finalNorm: "norm_f", layers: "blocks.",
                [
                    .init("norm_1", .attentionNorm),
                    .init("attn.Wqkv", .query, .key, .value),
                    .init("attn.out_proj", .attentionOutput),
                    .init("norm_2", .feedForwardNorm),
                    .init("ffn.up_proj", .up),
                    .init("ffn.down_proj", .down),
                ]))
    }
}

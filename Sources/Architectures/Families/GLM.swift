import Tensors

extension ModelFamily {
    /// GLM-4 9B in transformers' form: interleaved rotation of half a head, gate and up in one matrix.
    static let glm = ModelFamily("glm", models: "GLM-4 9B") { file throws(ConfigurationError) in
        ModelDescription(try DecoderReader(glm: file).glmDecoder(), .glm)
    }

    /// GLM-4-0414: GLM with norms before and after both branches.
    static let glm4 = ModelFamily("glm4", models: "GLM-4-0414") { file throws(ConfigurationError) in
        var decoder = try DecoderReader(glm: file).glmDecoder()
        decoder.changeLayers { layer, _ in layer.norms = .around }
        return ModelDescription(
            decoder,
            .glm.replacing(
                .init("post_self_attn_layernorm", .afterAttentionNorm),
                .init("post_mlp_layernorm", .afterFeedForwardNorm)
            ))
    }
}

extension DecoderReader {
    fileprivate init(glm file: ConfigurationFile) {
        self.init(file)
        sizes = ["num_key_value_heads": 2, "head_dim": 128]
        length = 131_072
        norm.epsilon = 1.5625e-7
        rotatedShare = 0.5
        pairing = .interleaved
    }

    fileprivate func glmDecoder() throws(ConfigurationError) -> DecoderConfiguration {
        var decoder = try decoder()
        let hasBias = try file.optionalBool("attention_bias") ?? true
        decoder.changeAttention { attention, _ in attention.hasInputBias = hasBias }
        return decoder
    }
}

extension TensorNames {
    fileprivate static let glm = TensorNames.huggingFace.replacing(.init("mlp.gate_up_proj", .gate, .up))
}

extension ModelFamily {
    /// Apertus: Llama without a gate, with xIELU and norms of query and key heads.
    static let apertus = ModelFamily("apertus", models: "Apertus") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 65_536
        reader.norm.epsilon = 1e-5
        reader.theta = 12_000_000
        reader.activation = .xIELU
        reader.isGated = false
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("attention_bias") ?? false
        let norm = QueryKeyNorm(.perHead, decoder.finalNorm)
        decoder.changeAttention { attention, _ in
            attention.queryKeyNorm = norm
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
            guard !file.hasRotaryParameters else { return }
            attention.rotation?.embedding.scaling = .llama3(
                factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8192)
        }
        return ModelDescription(
            decoder,
            .huggingFace.replacing(
                .init("attention_layernorm", .attentionNorm), .init("feedforward_layernorm", .feedForwardNorm),
                .init("mlp.act_fn.alpha_p", .activationPositive, isBare: true),
                .init("mlp.act_fn.alpha_n", .activationNegative, isBare: true)))
    }
}

extension ModelFamily {
    /// Seed-OSS: Llama with biases on query, key and value.
    static let seedOSS = ModelFamily("seed_oss", models: "Seed-OSS") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 524_288
        reader.sizes = ["num_key_value_heads": 8, "head_dim": 128]
        var decoder = try reader.decoder()
        let hasInputBias = try file.optionalBool("attention_bias") ?? true
        let hasOutputBias = try file.optionalBool("attention_out_bias") ?? false
        let hasFeedForwardBias = try file.optionalBool("mlp_bias") ?? false
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasInputBias, hasOutputBias)
        }
        decoder.changeFeedForward { $0.hasBias = hasFeedForwardBias }
        return ModelDescription(decoder, .huggingFace)
    }
}

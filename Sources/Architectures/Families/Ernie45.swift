extension ModelFamily {
    /// ERNIE 4.5, dense: Llama with interleaved rotation.
    static let ernie45 = ModelFamily("ernie4_5", models: "ERNIE 4.5, dense") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 131_072
        reader.norm.epsilon = 1e-5
        reader.sizes = ["num_key_value_heads": 2, "head_dim": 128]
        reader.theta = 500_000
        reader.pairing = .interleaved
        reader.ties = true
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("use_bias") ?? false
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
        }
        decoder.changeFeedForward { $0.hasBias = hasBias }
        return ModelDescription(decoder, .huggingFace)
    }
}

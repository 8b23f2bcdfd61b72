extension ModelFamily {
    /// Ministral 3: Mistral with queries that grow with their position (`llama_4_scaling_beta`).
    static let ministral3 = ModelFamily("ministral3", models: "Ministral 3") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 262_144
        reader.norm.epsilon = 1e-5
        reader.sizes = ["num_key_value_heads": 8, "head_dim": 128]
        var decoder = try reader.decoder()
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows)
        var growth: QueryGrowth?
        for key in ["rope_parameters", "rope_scaling"] {
            guard let object = try file.optionalObject(key),
                let beta = try object.optionalNumber("llama_4_scaling_beta", in: 0...1e3)
            else { continue }
            let length = try object.optionalInteger("original_max_position_embeddings", in: DecoderReader.lengths)
            growth = .inSteps(of: length ?? decoder.positionLimit, beta: Float(beta))
        }
        if !file.hasRotaryParameters { growth = .inSteps(of: 16_384, beta: 0.1) }
        decoder.changeAttention { attention, _ in
            attention.window = window
            attention.scores.growth = growth
            guard !file.hasRotaryParameters else { return }
            attention.rotation?.embedding.theta = 1_000_000
            attention.rotation?.embedding.scaling = .yarn(
                .init(
                    factor: 16, originalLength: 16_384, betaFast: 32, betaSlow: 1, attentionFactor: 1, truncates: true))
        }
        return ModelDescription(decoder, .huggingFace)
    }
}

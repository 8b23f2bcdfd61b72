extension ModelFamily {
    /// Granite: Llama with factors on embeddings, branches, scores and logits.
    static let granite = ModelFamily("granite", models: "Granite 3, dense") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 2048
        var decoder = try reader.decoder()
        let factors = 1e-6...1e6
        decoder.embedding.scale = Float(try file.optionalNumber("embedding_multiplier", in: factors) ?? 1)
        decoder.residualScale = Float(try file.optionalNumber("residual_multiplier", in: factors) ?? 1)
        decoder.head.scale = 1 / Float(try file.optionalNumber("logits_scaling", in: factors) ?? 1)
        let scale = Float(try file.optionalNumber("attention_multiplier", in: factors) ?? 1)
        try decoder.readBiases(file)
        decoder.changeAttention { attention, _ in
            attention.scores.scale = scale
        }
        return ModelDescription(decoder, .huggingFace)
    }
}

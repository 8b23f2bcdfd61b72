extension ModelFamily {
    /// MiniCPM: Llama with factors on embeddings, branches and logits.
    static let miniCPM = ModelFamily("minicpm", models: "MiniCPM 1, 2 (original layout)") {
        file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 2048
        reader.ties = true
        var decoder = try reader.decoder()
        let factors = 1e-6...1e6
        decoder.embedding.scale = Float(try file.optionalNumber("scale_emb", in: factors) ?? 1)
        let depth = try file.optionalNumber("scale_depth", in: factors) ?? 1
        decoder.residualScale = Float(depth / Double(decoder.layers.count).squareRoot())
        let width = try file.optionalInteger("dim_model_base", in: DecoderReader.sizes) ?? 1
        decoder.head.scale = Float(Double(width) / Double(decoder.hiddenSize))
        for key in ["sparse_config", "mixer_types", "num_experts"] where file.has(key) {
            decoder.otherFeatures.append(key)
        }
        let hasBias = try file.optionalBool("attention_bias") ?? false
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
        }
        return ModelDescription(decoder, .huggingFace)
    }
}

extension ModelFamily {
    /// Llama 1, 2, 3 to 3.3: RMS norm, rotary embedding, grouped-query attention, gated feed-forward.
    static let llama = ModelFamily(
        "llama", models: "Llama 1, 2, 3 to 3.3; Yi; DeepSeek-LLM and DeepSeek-Coder; Vicuna; TinyLlama"
    ) { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 2048
        var decoder = try reader.decoder()
        _ = try file.layerKinds(count: decoder.layers.count, supported: [.full])
        try decoder.readBiases(file)
        return ModelDescription(decoder, .huggingFace)
    }
}

extension ModelFamily {
    /// Llama 1, 2, 3 to 3.3: RMS norm, rotary embedding, grouped-query attention, gated feed-forward.
    public static let llama = ModelFamily(modelTypes: ["llama"], tensorNames: .huggingFace) {
        file throws(ConfigurationError) in
        let decoder = try DecoderConfiguration(llamaStyle: file, defaultLength: 2048)
        _ = try file.layerKinds(count: decoder.layers.count, supported: [.full])
        return decoder
    }
}

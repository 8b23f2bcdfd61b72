extension ModelFamily {
    /// Llama 1, 2, 3 to 3.3: RMS norm, rotary embedding, grouped-query attention, gated feed-forward.
    public static let llama = ModelFamily(modelTypes: ["llama"], tensorNames: .huggingFace) {
        file throws(ConfigurationError) in
        try DecoderConfiguration(llamaStyle: file)
    }
}

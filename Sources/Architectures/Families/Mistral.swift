extension ModelFamily {
    /// Llama whose tokens see a sliding window, if the configuration gives one.
    public static let mistral = ModelFamily(modelTypes: ["mistral"], tensorNames: .huggingFace) {
        file throws(ConfigurationError) in
        var decoder = try DecoderConfiguration(llamaStyle: file, defaultLength: 131_072)
        let window = try file.optionalInteger("sliding_window", in: 1...1 << 30)
        // All layers have the window, or none.
        _ = try file.layerKinds(count: decoder.layers.count, supported: [window == nil ? .full : .sliding])
        decoder.changeAttention { attention, _ in attention.window = window }
        return decoder
    }
}

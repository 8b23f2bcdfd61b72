extension ModelFamily {
    /// Llama with biases on query, key and value, and a sliding window in some layers if asked for.
    public static let qwen2 = ModelFamily(modelTypes: ["qwen2"], tensorNames: .huggingFace) {
        file throws(ConfigurationError) in
        var decoder = try DecoderConfiguration(llamaStyle: file, defaultLength: 32_768)
        let window =
            try file.optionalBool("use_sliding_window") ?? false
            ? try file.optionalInteger("sliding_window", in: 1...1 << 30) : nil
        let kinds = try file.layerKinds(count: decoder.layers.count, supported: [.full, .sliding])
        // Before `layer_types`, the layers from this one on had the window.
        let firstWindowed = try file.optionalInteger("max_window_layers", in: 0...1 << 20) ?? 28
        decoder.changeAttention { attention, layer in
            attention.hasInputBias = true
            attention.hasOutputBias = false
            let isWindowed = kinds.map { $0[layer] == .sliding } ?? (layer >= firstWindowed)
            attention.window = isWindowed ? window : nil
        }
        return decoder
    }
}

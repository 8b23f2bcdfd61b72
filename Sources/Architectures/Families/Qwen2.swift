extension ModelFamily {
    /// Llama with biases on query, key and value, and a sliding window in some layers if the file enables it.
    static let qwen2 = ModelFamily("qwen2", models: "Qwen1.5, Qwen2, Qwen2.5") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 32_768
        var decoder = try reader.decoder()
        let windows = try file.qwenWindows(count: decoder.layers.count)
        decoder.changeAttention { attention, layer in
            attention.hasInputBias = true
            attention.window = windows[layer]
        }
        return ModelDescription(decoder, .huggingFace)
    }
}

extension ConfigurationFile {
    /// The windows of layers, as Qwen's configurations give them.
    func qwenWindows(count: Int) throws(ConfigurationError) -> [Int?] {
        let window =
            try optionalBool("use_sliding_window") ?? false
            ? try optionalInteger("sliding_window", in: DecoderReader.windows) : nil
        // In files without `layer_types`, the layers from this one on have the window.
        let firstWindowed = try optionalInteger("max_window_layers", in: 0...1 << 20) ?? 28
        return try windows(window, count: count) { $0 >= firstWindowed }
    }
}

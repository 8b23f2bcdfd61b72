extension ModelFamily {
    /// Llama with windows in all layers, if the file gives or leaves out their length, or in those that it names.
    static let mistral = ModelFamily(
        "mistral", "ministral", models: "Mistral 7B, Nemo, Small, Large; Ministral 8B"
    ) { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 131_072
        reader.sizes = ["num_key_value_heads": 8]
        var decoder = try reader.decoder()
        let window = try file.window(usual: 4096)
        let windows = try file.windows(window, count: decoder.layers.count) { _ in true }
        decoder.changeAttention { attention, layer in attention.window = windows[layer] }
        return ModelDescription(decoder, .huggingFace)
    }
}

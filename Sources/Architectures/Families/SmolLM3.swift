extension ModelFamily {
    /// SmolLM 3: Llama in which every fourth layer does not rotate.
    static let smolLM3 = ModelFamily("smollm3", models: "SmolLM3") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 32_768
        reader.theta = 2_000_000
        reader.ties = true
        reader.sizes = ["num_key_value_heads": 4]
        var decoder = try reader.decoder()
        let every = try file.optionalInteger("no_rope_layer_interval", in: 1...4096) ?? 4
        let flags = try file.flags("no_rope_layers", count: decoder.layers.count)
        let rotates = { (layer: Int) in flags.map { $0[layer] } ?? ((layer + 1) % every != 0) }
        let window =
            try file.optionalBool("use_sliding_window") ?? false
            ? try file.optionalInteger("sliding_window", in: DecoderReader.windows) : nil
        let windows = try file.windows(window, count: decoder.layers.count) { window != nil && !rotates($0) }
        try decoder.readBiases(file)
        decoder.changeAttention { attention, layer in
            attention.window = windows[layer]
            if !rotates(layer) { attention.rotation = nil }
        }
        return ModelDescription(decoder, .huggingFace)
    }
}

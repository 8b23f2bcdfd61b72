extension ModelFamily {
    /// EXAONE 4: norms only after the branches, norms of query and key heads; with windows, only layers that have one
    /// rotate.
    static let exaone4 = ModelFamily("exaone4", models: "EXAONE 4") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 2048
        reader.norm.epsilon = 1e-5
        reader.sizes = ["num_key_value_heads": 32]
        var decoder = try reader.decoder()
        let window = try file.window(usual: 4096)
        // The pattern is a number or a text, of which LLLG is the only published one.
        let isText = try file.text("sliding_window_pattern", among: ["LLLG"]) != nil
        let every = isText ? 4 : try file.optionalInteger("sliding_window_pattern", in: 0...4096) ?? 4
        let windows = try file.windows(window, count: decoder.layers.count) { every > 0 && ($0 + 1) % every != 0 }
        let norm = QueryKeyNorm(.perHead, decoder.finalNorm)
        decoder.changeLayers { layer, _ in layer.norms = .after }
        decoder.changeAttention { attention, layer in
            attention.queryKeyNorm = norm
            attention.window = windows[layer]
            if window != nil, windows[layer] == nil { attention.rotation = nil }
        }
        return ModelDescription(decoder, .normsAfter)
    }
}

extension TensorNames {
    /// Llama's names in models whose norms follow the branches.
    static let normsAfter = TensorNames.huggingFace.replacing(
        .init("post_attention_layernorm", .afterAttentionNorm),
        .init("post_feedforward_layernorm", .afterFeedForwardNorm))
}

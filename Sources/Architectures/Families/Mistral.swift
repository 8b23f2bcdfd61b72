extension ModelFamily {
    /// Llama with sliding-window attention, if the configuration gives a window.
    static let mistral = ModelFamily("mistral", models: "Mistral 7B, Nemo, Small, Large") {
        file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 131_072
        var decoder = try reader.decoder()
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows)
        // Either all layers have the window or none has.
        _ = try file.layerKinds(count: decoder.layers.count, supported: [window == nil ? .full : .sliding])
        decoder.changeAttention { attention, _ in attention.window = window }
        return ModelDescription(decoder, .huggingFace)
    }

    /// Ministral: Mistral with windows in some layers.
    static let ministral = ModelFamily("ministral", models: "Ministral 8B") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 131_072
        var decoder = try reader.decoder()
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows)
        let windows = try file.windows(window, count: decoder.layers.count) { _ in window != nil }
        decoder.changeAttention { attention, layer in attention.window = windows[layer] }
        return ModelDescription(decoder, .huggingFace)
    }

    /// Ministral 3: Mistral with queries that grow with their position (`llama_4_scaling_beta`).
    static let ministral3 = ModelFamily("ministral3", models: "Ministral 3") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 262_144
        var decoder = try reader.decoder()
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows)
        var growth: QueryGrowth?
        for key in ["rope_parameters", "rope_scaling"] {
            guard let object = try file.optionalObject(key),
                let beta = try object.optionalNumber("llama_4_scaling_beta", in: 0...1e3)
            else { continue }
            let length = try object.optionalInteger("original_max_position_embeddings", in: DecoderReader.lengths)
            growth = .inSteps(of: length ?? decoder.positionLimit, beta: Float(beta))
        }
        decoder.changeAttention { attention, _ in
            attention.window = window
            attention.scores.growth = growth
        }
        return ModelDescription(decoder, .huggingFace)
    }
}

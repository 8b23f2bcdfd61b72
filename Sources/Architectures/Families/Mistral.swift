extension ModelFamily {
    /// Llama with sliding-window attention, if the configuration gives a window.
    static let mistral = ModelFamily("mistral") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 131_072
        var decoder = try reader.decoder()
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows)
        // Either all layers have the window or none has.
        _ = try file.layerKinds(count: decoder.layers.count, supported: [window == nil ? .full : .sliding])
        decoder.changeAttention { attention, _ in attention.window = window }
        return ModelDescription(decoder, .huggingFace)
    }
}

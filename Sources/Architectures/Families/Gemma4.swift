import Tensors

extension ModelFamily {
    /// Gemma 4, dense: Gemma 3 with other heads in full layers, values that are keys there, a norm of values, and a
    /// factor on the stream after each layer.
    static let gemma4 = ModelFamily("gemma4_text", models: "Gemma 4, dense (text)") { file throws(ConfigurationError) in
        var reader = DecoderReader(gemma: file)
        reader.norm.weightOffset = 0
        reader.length = 131_072
        reader.isRotary = false
        reader.sizes["num_key_value_heads"] = 4
        var decoder = try reader.gemmaDecoder()
        let count = decoder.layers.count
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows) ?? 512
        var windows = try file.windows(window, count: count) { ($0 + 1) % 6 != 0 }
        windows[count - 1] = nil
        let length = try reader.trainedLength()
        let near = try RotaryEmbedding(file, trainedLength: length, defaultTheta: 10_000, kind: .sliding)
        var attentions: [GroupedQueryAttention] = []
        for (layer, window) in windows.enumerated() {
            guard case .groupedQuery(var attention) = decoder.layers[layer].attention else { continue }
            attention.window = window
            try file.gemmaHeads(&attention, layer: layer, isFull: window == nil)
            let embedding = window == nil ? try file.gemmaRotation(attention.headDimension, length) : near
            attention.rotation = try reader.rotation(dimension: attention.headDimension, embedding)
            attention.scores.scale = 1
            attention.queryKeyNorm = QueryKeyNorm(.perHead, decoder.finalNorm)
            attention.valueNorm = decoder.finalNorm
            attentions.append(attention)
        }
        decoder.changeAttention { attention, layer in attention = attentions[layer] }
        decoder.changeLayers { layer, _ in
            layer.norms = .around
            layer.scalesStream = true
        }
        decoder.head.cap = try file.optionalNumber("final_logit_softcapping", in: 1e-3...1e6).map { Float($0) }
        for (key, usual, feature) in [
            ("hidden_size_per_layer_input", 256, "embeddings for each layer"),
            ("num_kv_shared_layers", 0, "layers that share a cache"),
        ] where try file.optionalInteger(key, in: 0...1 << 20) ?? usual > 0 {
            decoder.otherFeatures.append("\(feature) (\(key))")
        }
        // A model that sees images looks ahead only inside them.
        if try file.text("use_bidirectional_attention", among: ["all", "vision"]) == "all" {
            decoder.otherFeatures.append("attention to later tokens")
        }
        if try file.optionalBool("enable_moe_block") ?? false { decoder.otherFeatures.append("mixtures of experts") }
        return ModelDescription(
            decoder, .gemmaAround.replacing(.init("layer_scalar", .streamScale, isBare: true)))
    }
}

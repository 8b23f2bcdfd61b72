extension ModelFamily {
    /// Gemma 3: Gemma 2 with query and key norms instead of caps, and another rotary base in layers with a window.
    static let gemma3 = ModelFamily("gemma3_text", models: "Gemma 3 (text)") { file throws(ConfigurationError) in
        var reader = DecoderReader(gemma: file)
        reader.sizes = [
            "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262_208,
        ]
        reader.length = 131_072
        // The file's length already includes the scaling.
        reader.countsScaling = false
        reader.isRotary = false
        var decoder = try reader.gemmaDecoder()
        let every = try file.optionalInteger("sliding_window_pattern", in: 1...1 << 12)
        let newer = try file.optionalInteger("_sliding_window_pattern", in: 1...1 << 12)
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows) ?? 4096
        let windows = try file.windows(window, count: decoder.layers.count) { ($0 + 1) % (every ?? newer ?? 6) != 0 }
        let length = try reader.trainedLength()
        let dimension = decoder.layers[0].attention.headDimension
        let far = try reader.rotation(
            dimension: dimension,
            RotaryEmbedding(file, trainedLength: length, defaultTheta: 1_000_000, kind: .full))
        var near: RotaryEmbedding
        if let base = try file.optionalNumber("rope_local_base_freq", in: 1...1e15) {
            near = RotaryEmbedding(theta: base, trainedLength: length)
        } else if try file.optionalObject("rope_parameters")?.isObject(LayerKind.sliding.rawValue) == true {
            near = try RotaryEmbedding(file, trainedLength: length, defaultTheta: 10_000, kind: .sliding)
        } else {
            near = RotaryEmbedding(theta: 10_000, trainedLength: length)
        }
        let local = try reader.rotation(dimension: dimension, near)
        var scores = try file.gemmaScores(cap: nil)
        scores.cap = try file.optionalNumber("attn_logit_softcapping", in: 1e-3...1e6).map { Float($0) }
        decoder.head.cap = try file.optionalNumber("final_logit_softcapping", in: 1e-3...1e6).map { Float($0) }
        let norm = QueryKeyNorm(.perHead, decoder.finalNorm)
        decoder.changeLayers { layer, _ in layer.norms = .around }
        decoder.changeAttention { attention, layer in
            attention.scores = scores
            attention.queryKeyNorm = norm
            attention.window = windows[layer]
            attention.rotation = windows[layer] == nil ? far : local
        }
        if try file.optionalBool("use_bidirectional_attention") ?? false {
            decoder.otherFeatures.append("attention to later tokens")
        }
        return ModelDescription(decoder, .gemmaAround)
    }
}

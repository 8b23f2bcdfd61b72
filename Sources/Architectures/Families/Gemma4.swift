import Tensors

extension ModelFamily {
    /// Gemma 4, dense: Gemma 3 with other heads in full layers, values that are keys there, a norm of values, and a
    /// factor on the stream after each layer.
    static let gemma4 = ModelFamily("gemma4_text", models: "Gemma 4, dense (text)") { file throws(ConfigurationError) in
        var reader = DecoderReader(gemma: file)
        reader.norm.weightOffset = 0
        reader.length = 131_072
        reader.isRotary = false
        var decoder = try reader.gemmaDecoder()
        let count = decoder.layers.count
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows) ?? 512
        let windows = try file.windows(window, count: count) { ($0 + 1) % 6 != 0 }
        let length = try reader.trainedLength()
        let near = try RotaryEmbedding(file, trainedLength: length, defaultTheta: 10_000, kind: .sliding)
        var attentions: [GroupedQueryAttention] = []
        for (layer, window) in windows.enumerated() {
            guard case .groupedQuery(var attention) = decoder.layers[layer].attention else { continue }
            attention.window = window
            if window == nil { try file.widen(&attention) }
            if let own = try file.optionalObject("per_layer_config")?.optionalObject("\(layer)") {
                attention.headDimension =
                    try own.optionalInteger("head_dim", in: 1...1 << 16) ?? attention.headDimension
                attention.keyValueHeadCount =
                    try own.optionalInteger("num_key_value_heads", in: 1...attention.queryHeadCount)
                    ?? attention.keyValueHeadCount
            }
            guard attention.queryHeadCount.isMultiple(of: attention.keyValueHeadCount) else {
                throw file.unsupported(
                    "num_key_value_heads", "\(attention.queryHeadCount) query heads cannot share them evenly")
            }
            let embedding = window == nil ? try file.farRotation(attention.headDimension, length) : near
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
        for (key, feature) in [
            ("hidden_size_per_layer_input", "embeddings for each layer"),
            ("num_kv_shared_layers", "layers that share a cache"),
        ] where try file.optionalInteger(key, in: 0...1 << 20) ?? 0 > 0 {
            decoder.otherFeatures.append("\(feature) (\(key))")
        }
        if try file.optionalBool("enable_moe_block") ?? false { decoder.otherFeatures.append("mixtures of experts") }
        return ModelDescription(
            decoder, .gemmaAround.replacing(.init("layer_scalar", .streamScale, isBare: true)))
    }
}

extension ConfigurationFile {
    /// Gives full layers their own heads.
    fileprivate func widen(_ attention: inout GroupedQueryAttention) throws(ConfigurationError) {
        attention.headDimension =
            try optionalInteger("global_head_dim", in: 1...1 << 16) ?? attention.headDimension
        attention.valuesAreKeys = try optionalBool("attention_k_eq_v") ?? false
        guard attention.valuesAreKeys else { return }
        attention.keyValueHeadCount =
            try optionalInteger("num_global_key_value_heads", in: 1...attention.queryHeadCount)
            ?? attention.keyValueHeadCount
    }

    /// The rotation of full layers, whose last pairs may not turn.
    fileprivate func farRotation(_ dimension: Int, _ length: Int) throws(ConfigurationError) -> RotaryEmbedding {
        let object = try optionalObject("rope_parameters")?.optionalObject(LayerKind.full.rawValue)
        guard let object, try object.optionalString("rope_type") == "proportional" else {
            return try RotaryEmbedding(self, trainedLength: length, defaultTheta: 1_000_000, kind: .full)
        }
        let theta = try object.optionalNumber("rope_theta", in: 1...1e15) ?? 1_000_000
        let share = try object.optionalNumber("partial_rotary_factor", in: 0...1) ?? 1
        return RotaryEmbedding(
            theta: theta, scaling: .proportional(pairs: Int(share * Double(dimension) / 2)), trainedLength: length)
    }
}

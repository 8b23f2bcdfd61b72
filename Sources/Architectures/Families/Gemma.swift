import Tensors

extension ModelFamily {
    /// Gemma: norms stored as differences from 1, a scaled embedding, GELU.
    static let gemma = ModelFamily("gemma") { file throws(ConfigurationError) in
        let reader = DecoderReader(gemma: file)
        return ModelDescription(try reader.gemmaDecoder(), .huggingFace)
    }

    /// Gemma 2: norms around both branches, capped scores and logits, windows in every second layer (arXiv:2408.00118).
    static let gemma2 = ModelFamily("gemma2") { file throws(ConfigurationError) in
        var decoder = try DecoderReader(gemma: file).gemmaDecoder()
        let window = try file.number("sliding_window", in: 1...0x1p30, usual: 4096).map { Int($0) }
        let windows = try file.windows(window, count: decoder.layers.count) { $0 % 2 == 0 }
        let scores = try file.gemmaScores(cap: 50)
        decoder.head.cap = try file.number("final_logit_softcapping", in: 1e-3...1e6, usual: 30).map { Float($0) }
        decoder.changeLayers { layer, _ in layer.norms = .around }
        decoder.changeAttention { attention, layer in
            attention.scores = scores
            attention.window = windows[layer]
        }
        return ModelDescription(decoder, .gemmaAround)
    }

    /// Gemma 3: Gemma 2 with query and key norms instead of caps, and another rotary base in layers with a window.
    static let gemma3 = ModelFamily("gemma3_text") { file throws(ConfigurationError) in
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

extension DecoderReader {
    fileprivate init(gemma file: ConfigurationFile) {
        self.init(file)
        // Models were not trained with the activation that files give as `hidden_act`.
        keys.activation = "hidden_activation"
        activation = .geluTanh
        norm.weightOffset = 1
        sizes = ["head_dim": 256]
        length = 8192
        ties = true
    }

    fileprivate func gemmaDecoder() throws(ConfigurationError) -> DecoderConfiguration {
        var decoder = try decoder()
        decoder.embedding.scale = Float(decoder.hiddenSize).squareRoot()
        let hasBias = try file.optionalBool("attention_bias") ?? false
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
        }
        return decoder
    }
}

extension ConfigurationFile {
    /// Reads the scale and the soft cap of scores.
    ///
    /// - Parameter cap: the default cap; nil: the cap is not read.
    fileprivate func gemmaScores(cap: Double?) throws(ConfigurationError) -> ScoreConfiguration {
        var scores = ScoreConfiguration()
        let scalar = try optionalNumber("query_pre_attn_scalar", in: 1e-3...1e6) ?? 256
        scores.scale = 1 / Float(scalar).squareRoot()
        if let cap { scores.cap = try number("attn_logit_softcapping", in: 1e-3...1e6, usual: cap).map { Float($0) } }
        return scores
    }
}

extension TensorNames {
    fileprivate static let gemmaAround = TensorNames.huggingFace.replacing(
        .init("post_attention_layernorm", .afterAttentionNorm), .init("pre_feedforward_layernorm", .feedForwardNorm),
        .init("post_feedforward_layernorm", .afterFeedForwardNorm))
}

import Tensors

extension ModelFamily {
    /// Gemma: norms stored as differences from 1, a scaled embedding, GELU.
    static let gemma = ModelFamily("gemma", models: "Gemma 1") { file throws(ConfigurationError) in
        let reader = DecoderReader(gemma: file)
        return ModelDescription(try reader.gemmaDecoder(), .huggingFace)
    }

    /// Gemma 2: norms around both branches, capped scores and logits, windows in every second layer (arXiv:2408.00118).
    static let gemma2 = ModelFamily("gemma2", models: "Gemma 2") { file throws(ConfigurationError) in
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
}

extension DecoderReader {
    init(gemma file: ConfigurationFile) {
        self.init(file)
        // Models were not trained with the activation that files give as `hidden_act`.
        keys.activation = "hidden_activation"
        activation = .geluTanh
        norm.weightOffset = 1
        sizes = ["head_dim": 256]
        length = 8192
        ties = true
    }

    func gemmaDecoder() throws(ConfigurationError) -> DecoderConfiguration {
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
    func gemmaScores(cap: Double?) throws(ConfigurationError) -> ScoreConfiguration {
        var scores = ScoreConfiguration()
        let scalar = try optionalNumber("query_pre_attn_scalar", in: 1e-3...1e6) ?? 256
        scores.scale = 1 / Float(scalar).squareRoot()
        if let cap { scores.cap = try number("attn_logit_softcapping", in: 1e-3...1e6, usual: cap).map { Float($0) } }
        return scores
    }
}

extension TensorNames {
    static let gemmaAround = TensorNames.huggingFace.replacing(
        .init("post_attention_layernorm", .afterAttentionNorm), .init("pre_feedforward_layernorm", .feedForwardNorm),
        .init("post_feedforward_layernorm", .afterFeedForwardNorm))
}

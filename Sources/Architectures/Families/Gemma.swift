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

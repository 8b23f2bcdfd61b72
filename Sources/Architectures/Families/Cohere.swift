import Tensors

extension ModelFamily {
    /// Command R: parallel branches that share a layer norm without bias, interleaved rotation, scaled logits.
    static let cohere = ModelFamily("cohere", models: "Command R, Command R+, Aya") { file throws(ConfigurationError) in
        ModelDescription(try DecoderReader(cohere: file).cohereDecoder(), .huggingFace)
    }

    /// Command R7B: Command R with windows in most layers; only these layers rotate.
    static let cohere2 = ModelFamily("cohere2", models: "Command R7B, Command A") { file throws(ConfigurationError) in
        var decoder = try DecoderReader(cohere: file).cohereDecoder()
        let window = try file.window(usual: 4096)
        let every = try file.optionalInteger("sliding_window_pattern", in: 1...4096) ?? 4
        let windows = try file.windows(window, count: decoder.layers.count) { ($0 + 1) % every != 0 }
        decoder.changeAttention { attention, layer in
            attention.window = windows[layer]
            if windows[layer] == nil { attention.rotation = nil }
        }
        return ModelDescription(decoder, .huggingFace)
    }
}

extension DecoderReader {
    fileprivate init(cohere file: ConfigurationFile) {
        self.init(file)
        length = 8192
        keys.normEpsilon = "layer_norm_eps"
        norm = NormConfiguration(kind: .layer, epsilon: 1e-5)
        pairing = .interleaved
        ties = true
    }

    fileprivate func cohereDecoder() throws(ConfigurationError) -> DecoderConfiguration {
        var decoder = try decoder()
        decoder.head.scale = Float(try file.optionalNumber("logit_scale", in: 1e-6...1e6) ?? 0.0625)
        let hasBias = try file.optionalBool("attention_bias") ?? false
        let hasNorms = try file.optionalBool("use_qk_norm") ?? false
        let norm = decoder.finalNorm
        decoder.changeLayers { layer, _ in layer.order = .parallel(sharesNorm: true) }
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
            if hasNorms { attention.queryKeyNorm = QueryKeyNorm(.eachHead, norm) }
        }
        return decoder
    }
}

import Tensors

extension ModelFamily {
    /// OLMo 2: norms after attention and feed-forward, and over all heads of queries and keys.
    static let olmo2 = ModelFamily("olmo2", models: "OLMo 2") { file throws(ConfigurationError) in
        ModelDescription(try DecoderReader(olmo: file).olmoDecoder(), .normsAfter)
    }

    /// OLMo 3: OLMo 2 with windows in most layers; rotary scaling acts only in the other layers.
    static let olmo3 = ModelFamily("olmo3", models: "OLMo 3") { file throws(ConfigurationError) in
        var reader = DecoderReader(olmo: file)
        reader.theta = 500_000
        reader.isRotary = false
        var decoder = try reader.olmoDecoder()
        let length = try reader.trainedLength()
        let far = try RotaryEmbedding(file, trainedLength: length, defaultTheta: reader.theta, kind: .full)
        var near = try RotaryEmbedding(file, trainedLength: length, defaultTheta: reader.theta, kind: .sliding)
        // Older files give one scaling, which only full layers have.
        if try file.optionalObject("rope_parameters")?.isObject(LayerKind.sliding.rawValue) != true {
            near.scaling = .none
        }
        let dimension = decoder.layers[0].attention.headDimension
        let rotations = try (
            full: reader.rotation(dimension: dimension, far), sliding: reader.rotation(dimension: dimension, near)
        )
        decoder.positionLimit = far.reach
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows) ?? 4096
        let windows = try file.windows(window, count: decoder.layers.count) { ($0 + 1) % 4 != 0 }
        decoder.changeAttention { attention, layer in
            attention.window = windows[layer]
            attention.rotation = windows[layer] == nil ? rotations.full : rotations.sliding
        }
        return ModelDescription(decoder, .normsAfter)
    }
}

extension DecoderReader {
    fileprivate init(olmo file: ConfigurationFile) {
        self.init(file)
        length = 2048
        norm.epsilon = 1e-5
    }

    fileprivate func olmoDecoder() throws(ConfigurationError) -> DecoderConfiguration {
        var decoder = try decoder()
        let norm = QueryKeyNorm(.allHeads, decoder.finalNorm)
        let hasBias = try file.optionalBool("attention_bias") ?? false
        decoder.changeAttention { attention, _ in
            attention.queryKeyNorm = norm
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
        }
        decoder.changeLayers { layer, _ in layer.norms = .after }
        return decoder
    }
}

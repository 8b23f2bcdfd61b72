import Tensors

// What the families of Gemma share.

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

extension ConfigurationFile {
    /// Gives the heads of a layer of Gemma 4 their number and length.
    ///
    /// Full layers have their own; `per_layer_config` gives those of single layers.
    func gemmaHeads(
        _ attention: inout GroupedQueryAttention, layer: Int, isFull: Bool
    ) throws(ConfigurationError) {
        let counts = 1...attention.queryHeadCount
        var (dimension, count): (Int?, Int?) = (nil, nil)
        let byLayer = try optionalObject("per_layer_config")
        if isFull { attention.valuesAreKeys = try optionalBool("attention_k_eq_v") ?? false }
        if isFull, byLayer == nil {
            dimension =
                try optionalInteger("global_head_dim", in: 1...1 << 16) ?? (contains("global_head_dim") ? nil : 512)
            if attention.valuesAreKeys { count = try optionalInteger("num_global_key_value_heads", in: counts) }
        }
        if let own = try byLayer?.optionalObject("\(layer)") {
            if let other = own.keys.first(where: { !["head_dim", "num_key_value_heads"].contains($0) }) {
                throw own.unsupported(other, "a layer of its own kind is not supported")
            }
            dimension = try own.optionalInteger("head_dim", in: 1...1 << 16) ?? dimension
            count = try own.optionalInteger("num_key_value_heads", in: counts) ?? count
        }
        attention.headDimension = dimension ?? attention.headDimension
        attention.keyValueHeadCount = count ?? attention.keyValueHeadCount
        guard attention.queryHeadCount * attention.headDimension <= DecoderReader.mostFeatures else {
            throw unsupported(
                "head_dim", "\(attention.queryHeadCount) heads of \(attention.headDimension) are too many")
        }
        guard attention.queryHeadCount.isMultiple(of: attention.keyValueHeadCount) else {
            throw unsupported(
                "num_key_value_heads", "\(attention.queryHeadCount) query heads cannot share them evenly")
        }
    }

    /// The rotation of the full layers of Gemma 4, whose last pairs may not turn.
    func gemmaRotation(_ dimension: Int, _ length: Int) throws(ConfigurationError) -> RotaryEmbedding {
        let object = try optionalObject("rope_parameters")?.optionalObject(LayerKind.full.rawValue)
        let type = try object?.optionalString("rope_type")
        guard object == nil || type == "proportional" else {
            return try RotaryEmbedding(self, trainedLength: length, defaultTheta: 1_000_000, kind: .full)
        }
        guard try object?.optionalNumber("factor", in: 0...1e6) ?? 1 == 1 else {
            throw unsupported("rope_parameters", "proportional scaling by a factor is not supported")
        }
        let theta = try object?.optionalNumber("rope_theta", in: 1...1e15) ?? 1_000_000
        let share = try object?.optionalNumber("partial_rotary_factor", in: 0...1) ?? (object == nil ? 0.25 : 1)
        return RotaryEmbedding(
            theta: theta, scaling: .proportional(pairs: Int(share * Double(dimension) / 2)), trainedLength: length)
    }
}

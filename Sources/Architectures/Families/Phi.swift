import Tensors

extension ModelFamily {
    /// Phi-1, 1.5 and 2: parallel branches that share a layer norm, biases everywhere, a part of each head is rotated.
    static let phi = ModelFamily("phi", models: "Phi-1, Phi-1.5, Phi-2") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 2048
        reader.keys.normEpsilon = "layer_norm_eps"
        reader.norm = NormConfiguration(kind: .layer, hasBias: true, epsilon: 1e-5)
        reader.activation = .geluTanh
        reader.isGated = false
        reader.rotatedShare = 0.5
        var decoder = try reader.decoder()
        decoder.head.hasBias = true
        let norm = decoder.finalNorm
        let hasNorms = try file.optionalBool("qk_layernorm") ?? false
        decoder.changeLayers { layer, _ in layer.order = .parallel(sharesNorm: true) }
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (true, true)
            if hasNorms { attention.queryKeyNorm = QueryKeyNorm(.perHead, norm) }
        }
        decoder.changeFeedForward { $0.hasBias = true }
        return ModelDescription(
            decoder,
            TensorNames.huggingFace.replacing(
                .init("self_attn.dense", .attentionOutput), .init("mlp.fc1", .up), .init("mlp.fc2", .down),
                .init("self_attn.q_layernorm", .queryNorm), .init("self_attn.k_layernorm", .keyNorm),
                finalNorm: "final_layernorm"))
    }
}

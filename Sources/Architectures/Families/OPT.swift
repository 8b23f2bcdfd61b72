import Tensors

extension ModelFamily {
    /// OPT: learned positions from row 2 on, ReLU; embeddings may be narrower or wider than the layers.
    static let opt = ModelFamily("opt", models: "OPT (norms before the branches)") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.keys.keyValueHeadCount = nil
        reader.keys.intermediateSize = "ffn_dim"
        reader.keys.activation = "activation_function"
        reader.length = 2048
        reader.norm = NormConfiguration(kind: .layer, hasBias: true, epsilon: 1e-5)
        reader.activation = .relu
        reader.isGated = false
        reader.ties = true
        reader.isRotary = false
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("enable_bias") ?? true
        decoder.embedding.learnedPositions = LearnedPositions(count: decoder.positionLimit, offset: 2)
        if let width = try file.optionalInteger("word_embed_proj_dim", in: DecoderReader.sizes) {
            decoder.embedding.width = width == decoder.hiddenSize ? nil : width
        }
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
        }
        decoder.changeFeedForward { $0.hasBias = hasBias }
        for (key, usual) in [
            ("do_layer_norm_before", true), ("_remove_final_layer_norm", false),
            ("layer_norm_elementwise_affine", true),
        ] where try file.optionalBool(key) ?? usual != usual {
            decoder.otherFeatures.append("\(key) \(!usual)")
        }
        return ModelDescription(
            decoder,
            TensorNames(
                prefixes: ["model.decoder.", "decoder."], embedding: "embed_tokens", embeddingProjection: "project_in",
                positions: "embed_positions", finalNorm: "final_layer_norm", headProjection: "project_out",
                layers: "layers.",
                [
                    .init("self_attn_layer_norm", .attentionNorm),
                    .init("self_attn.q_proj", .query),
                    .init("self_attn.k_proj", .key),
                    .init("self_attn.v_proj", .value),
                    .init("self_attn.out_proj", .attentionOutput),
                    .init("final_layer_norm", .feedForwardNorm),
                    .init("fc1", .up),
                    .init("fc2", .down),
                ]))
    }
}

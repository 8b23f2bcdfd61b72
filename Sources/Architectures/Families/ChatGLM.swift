import Tensors

extension ModelFamily {
    /// ChatGLM 2 and 3, GLM-4 in its original form: interleaved rotation of half a head, fused projections.
    static let chatGLM = ModelFamily("chatglm", models: "ChatGLM2, ChatGLM3, glm-4-9b-chat (original layout)") {
        file throws(ConfigurationError) in
        let isShared = try file.optionalBool("multi_query_attention") ?? false
        var reader = DecoderReader(file)
        reader.keys.layerCount = "num_layers"
        reader.keys.keyValueHeadCount = isShared ? "multi_query_group_num" : nil
        reader.keys.headDimension = "kv_channels"
        reader.keys.intermediateSize = "ffn_hidden_size"
        reader.keys.vocabularySize = "padded_vocab_size"
        reader.keys.lengths = ["seq_length"]
        reader.keys.normEpsilon = "layernorm_epsilon"
        let isRMS = try file.optionalBool("rmsnorm") ?? true
        reader.norm = NormConfiguration(kind: isRMS ? .rms : .layer, hasBias: !isRMS, epsilon: 1e-5)
        reader.rotatedShare = 0.5
        reader.pairing = .interleaved
        reader.theta = 10_000 * (try file.optionalNumber("rope_ratio", in: 1e-3...1e6) ?? 1)
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("add_bias_linear") ?? false
        let hasInputBias = try file.optionalBool("add_qkv_bias") ?? false
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasInputBias || hasBias, hasBias)
        }
        decoder.changeFeedForward { $0.hasBias = hasBias }
        for (key, usual) in [
            ("apply_residual_connection_post_layernorm", false), ("post_layer_norm", true), ("original_rope", true),
        ] where try file.optionalBool(key) ?? usual != usual {
            decoder.otherFeatures.append("\(key) \(!usual)")
        }
        return ModelDescription(
            decoder,
            TensorNames(
                prefixes: ["transformer."], embedding: "embedding.word_embeddings",
                finalNorm: "encoder.final_layernorm", head: "transformer.output_layer", layers: "encoder.layers.",
                [
                    .init("input_layernorm", .attentionNorm),
                    .init("self_attention.query_key_value", .query, .key, .value),
                    .init("self_attention.dense", .attentionOutput),
                    .init("post_attention_layernorm", .feedForwardNorm),
                    .init("mlp.dense_h_to_4h", .gate, .up),
                    .init("mlp.dense_4h_to_h", .down),
                ]))
    }
}

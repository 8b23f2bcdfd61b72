import Tensors

extension ModelFamily {
    /// BLOOM: ALiBi, a norm over embeddings, query, key and value in one matrix, head by head.
    static let bloom = ModelFamily("bloom", models: "BLOOM") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        if !file.has("hidden_size") { reader.keys.hiddenSize = "n_embed" }
        reader.keys.layerCount = file.has("n_layer") ? "n_layer" : "num_hidden_layers"
        reader.keys.headCount = file.has("n_head") ? "n_head" : "num_attention_heads"
        reader.keys.keyValueHeadCount = nil
        reader.keys.lengths = ["seq_length"]
        reader.keys.normEpsilon = "layer_norm_epsilon"
        reader.length = 2048
        reader.norm = NormConfiguration(kind: .layer, hasBias: true, epsilon: 1e-5)
        reader.activation = .geluTanh
        reader.isGated = false
        reader.widthMultiple = 4
        reader.ties = true
        reader.isRotary = false
        var decoder = try reader.decoder()
        decoder.embedding.norm = decoder.finalNorm
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (true, true)
            attention.scores.linearBias = LinearBias()
        }
        decoder.changeFeedForward { $0.hasBias = true }
        if try file.optionalBool("apply_residual_connection_post_layernorm") ?? false {
            decoder.otherFeatures.append(
                "a residual stream that is normalized (apply_residual_connection_post_layernorm)")
        }
        return ModelDescription(
            decoder,
            TensorNames(
                prefixes: ["transformer.", ""], embedding: "word_embeddings",
                embeddingNorm: "word_embeddings_layernorm", finalNorm: "ln_f", layers: "h.",
                [
                    .init("input_layernorm", .attentionNorm),
                    .init("self_attention.query_key_value", .query, .key, .value, arrangement: .byKeyValueHead),
                    .init("self_attention.dense", .attentionOutput),
                    .init("post_attention_layernorm", .feedForwardNorm),
                    .init("mlp.dense_h_to_4h", .up),
                    .init("mlp.dense_4h_to_h", .down),
                ]))
    }
}

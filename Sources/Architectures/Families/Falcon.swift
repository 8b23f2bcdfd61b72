import Tensors

extension ModelFamily {
    /// Falcon: parallel attention and feed-forward with one norm or two; multi-query or grouped-query attention.
    static let falcon = ModelFamily("falcon", models: "Falcon 7B, 11B, 40B, 180B (without ALiBi)") {
        file throws(ConfigurationError) in
        let isNew = try file.optionalBool("new_decoder_architecture") ?? false
        let isShared = try file.optionalBool("multi_query") ?? true
        let isParallel = try file.optionalBool("parallel_attn") ?? true
        let normCount = try file.optionalInteger("num_ln_in_parallel_attn", in: 1...2) ?? (isNew ? 2 : 1)
        let hasSlopes = try file.optionalBool("alibi") ?? false
        var reader = DecoderReader(file)
        reader.keys.keyValueHeadCount = isNew ? "num_kv_heads" : nil
        reader.keys.intermediateSize = "ffn_hidden_size"
        reader.keys.normEpsilon = "layer_norm_epsilon"
        reader.keys.activation = "activation"
        reader.length = 2048
        reader.norm = NormConfiguration(kind: .layer, hasBias: true, epsilon: 1e-5)
        reader.activation = .gelu
        reader.isGated = false
        reader.widthMultiple = 4
        reader.ties = true
        reader.isRotary = !hasSlopes
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("bias") ?? false
        let sharesNorm = normCount == 1
        decoder.changeLayers { layer, _ in
            layer.order = isParallel || isNew ? .parallel(sharesNorm: sharesNorm) : .sequential
        }
        decoder.changeAttention { attention, _ in
            if !isNew, isShared { attention.keyValueHeadCount = 1 }
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
            if hasSlopes { attention.scores.linearBias = LinearBias() }
        }
        decoder.changeFeedForward { $0.hasBias = hasBias }
        if hasSlopes { decoder.otherFeatures.append("slopes that are scaled as scores are (alibi)") }
        let hasTwo = isNew && !sharesNorm
        return ModelDescription(
            decoder,
            TensorNames(
                prefixes: ["transformer."], embedding: "word_embeddings", finalNorm: "ln_f", layers: "h.",
                [
                    .init(hasTwo ? "ln_attn" : "input_layernorm", .attentionNorm),
                    .init(
                        "self_attention.query_key_value", .query, .key, .value,
                        arrangement: isNew || !isShared ? .byKeyValueHead : .stacked),
                    .init("self_attention.dense", .attentionOutput),
                    .init(hasTwo ? "ln_mlp" : "post_attention_layernorm", .feedForwardNorm),
                    .init("mlp.dense_h_to_4h", .up),
                    .init("mlp.dense_4h_to_h", .down),
                ]))
    }
}

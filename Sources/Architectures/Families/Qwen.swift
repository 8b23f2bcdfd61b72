import Tensors

extension ModelFamily {
    /// The first Qwen: Llama with biases on query, key and value, and queries scaled beyond the trained length.
    static let qwen = ModelFamily("qwen", models: "Qwen 1 (original layout)") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.keys.keyValueHeadCount = nil
        reader.keys.headDimension = "kv_channels"
        reader.keys.lengths = ["max_position_embeddings", "seq_length"]
        reader.keys.normEpsilon = "layer_norm_epsilon"
        reader.keys.theta = "rotary_emb_base"
        reader.rotatedShare = try file.optionalNumber("rotary_pct", in: 0...1) ?? 1
        // The file gives the width of gate and up together.
        let width = try file.integer("intermediate_size", in: DecoderReader.sizes) / 2
        var decoder = try reader.decoder(intermediateSize: width)
        // Both act beyond `seq_length`, on which the model was trained.
        let trained = try file.optionalInteger("seq_length", in: DecoderReader.lengths) ?? decoder.positionLimit
        let isStretched = try file.optionalBool("use_dynamic_ntk") ?? true
        let isGrowing = try file.optionalBool("use_logn_attn") ?? true
        if try file.optionalBool("no_bias") == false { decoder.otherFeatures.append("no_bias false") }
        decoder.changeAttention { attention, _ in
            attention.hasInputBias = true
            if isStretched { attention.rotation?.embedding.scaling = .doubling(length: trained) }
            if isGrowing { attention.scores.growth = .logarithmic(beyond: trained) }
        }
        return ModelDescription(
            decoder,
            TensorNames(
                prefixes: ["transformer."], embedding: "wte", finalNorm: "ln_f", layers: "h.",
                [
                    .init("ln_1", .attentionNorm),
                    .init("attn.c_attn", .query, .key, .value),
                    .init("attn.c_proj", .attentionOutput),
                    .init("ln_2", .feedForwardNorm),
                    .init("mlp.w1", .up),
                    .init("mlp.w2", .gate),
                    .init("mlp.c_proj", .down),
                ]))
    }
}

import Tensors

extension ModelFamily {
    /// GPT-BigCode (StarCoder, SantaCoder): GPT-2 whose query heads share one key-value head, and matrices as usual.
    static let gptBigCode = ModelFamily("gpt_bigcode", models: "GPT-BigCode: StarCoder, SantaCoder") {
        file throws(ConfigurationError) in
        var reader = DecoderReader(gpt: file)
        reader.isRotary = false
        var decoder = try reader.decoder()
        decoder.embedding.learnedPositions = LearnedPositions(count: try reader.trainedLength())
        let isShared = try file.optionalBool("multi_query") ?? true
        let isScaled = try file.optionalBool("scale_attn_weights") ?? true
        decoder.changeAttention { attention, _ in
            if isShared { attention.keyValueHeadCount = 1 }
            (attention.hasInputBias, attention.hasOutputBias) = (true, true)
            attention.scores.scale = isScaled ? nil : 1
        }
        decoder.changeFeedForward { $0.hasBias = true }
        if try file.optionalBool("add_cross_attention") ?? false { decoder.otherFeatures.append("add_cross_attention") }
        return ModelDescription(
            decoder,
            TensorNames(
                prefixes: ["transformer.", ""], embedding: "wte", positions: "wpe", finalNorm: "ln_f", layers: "h.",
                [
                    .init("ln_1", .attentionNorm),
                    .init(
                        "attn.c_attn", .query, .key, .value, arrangement: isShared ? .stacked : .byKeyValueHead),
                    .init("attn.c_proj", .attentionOutput),
                    .init("ln_2", .feedForwardNorm),
                    .init("mlp.c_fc", .up),
                    .init("mlp.c_proj", .down),
                ]))
    }
}

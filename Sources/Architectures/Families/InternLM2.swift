import Tensors

extension ModelFamily {
    /// Llama with query, key and value fused in one matrix, ordered by key-value head.
    static let internLM2 = ModelFamily("internlm2", models: "InternLM2, InternLM2.5") {
        file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 2048
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("bias") ?? true
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
        }
        return ModelDescription(
            decoder,
            TensorNames(
                prefixes: ["model."], embedding: "tok_embeddings", finalNorm: "norm", head: "output",
                layers: "layers.",
                [
                    .init("attention_norm", .attentionNorm),
                    .init("attention.wqkv", .query, .key, .value, arrangement: .byKeyValueHead),
                    .init("attention.wo", .attentionOutput),
                    .init("ffn_norm", .feedForwardNorm),
                    .init("feed_forward.w1", .gate),
                    .init("feed_forward.w3", .up),
                    .init("feed_forward.w2", .down),
                ]))
    }
}

import Tensors

extension ModelFamily {
    /// OLMo 2: norms after attention and feed-forward, and over all heads of queries and keys.
    static let olmo2 = ModelFamily("olmo2") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 2048
        reader.norm.epsilon = 1e-5
        var decoder = try reader.decoder()
        let norm = QueryKeyNorm(.allHeads, decoder.finalNorm)
        let hasBias = try file.optionalBool("attention_bias") ?? false
        decoder.changeAttention { attention, _ in
            attention.queryKeyNorm = norm
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
        }
        decoder.changeLayers { layer, _ in layer.norms = .after }
        return ModelDescription(
            decoder,
            .huggingFace.replacing(
                .init("post_attention_layernorm", .afterAttentionNorm),
                .init("post_feedforward_layernorm", .afterFeedForwardNorm)))
    }
}

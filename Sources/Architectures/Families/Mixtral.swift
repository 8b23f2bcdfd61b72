import Tensors

extension ModelFamily {
    /// Mistral whose feed-forwards are mixtures of experts.
    static let mixtral = ModelFamily("mixtral", models: "Mixtral", isComputed: false) {
        file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 131_072
        reader.norm.epsilon = 1e-5
        reader.theta = 1_000_000
        var decoder = try reader.decoder()
        let experts = try file.experts(
            "num_local_experts", size: file.integer("intermediate_size", in: DecoderReader.sizes))
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows)
        decoder.changeAttention { attention, _ in attention.window = window }
        decoder.replaceFeedForward { _ in .experts(experts) }
        return ModelDescription(
            decoder,
            .huggingFace.replacing(
                .init("block_sparse_moe.gate", .router), .init("block_sparse_moe.experts.*.w1", .expertGate),
                .init("block_sparse_moe.experts.*.w3", .expertUp),
                .init("block_sparse_moe.experts.*.w2", .expertDown)))
    }
}

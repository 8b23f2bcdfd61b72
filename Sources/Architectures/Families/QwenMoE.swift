import Tensors

extension ModelFamily {
    /// Qwen 2 with mixtures of experts, including a shared expert.
    static let qwen2MoE = ModelFamily("qwen2_moe", models: "Qwen1.5-MoE, Qwen2-MoE", isComputed: false) {
        file throws(ConfigurationError) in
        try qwenMixture(file) { decoder, experts, file throws(ConfigurationError) in
            experts.sharedSize =
                try file.optionalInteger("shared_expert_intermediate_size", in: 0...1 << 20) ?? 0
            experts.hasSharedGate = experts.sharedSize > 0
            let windows = try file.qwenWindows(count: decoder.layers.count)
            decoder.changeAttention { attention, layer in
                attention.hasInputBias = true
                attention.window = windows[layer]
            }
        }
    }

    /// Qwen 3 with mixtures of experts.
    static let qwen3MoE = ModelFamily("qwen3_moe", models: "Qwen3-MoE", isComputed: false) {
        file throws(ConfigurationError) in
        try qwenMixture(file) { decoder, _, file throws(ConfigurationError) in
            let norm = QueryKeyNorm(.perHead, decoder.finalNorm)
            let hasBias = try file.optionalBool("attention_bias") ?? false
            decoder.changeAttention { attention, _ in
                attention.queryKeyNorm = norm
                (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
            }
        }
    }

    private static func qwenMixture(
        _ file: ConfigurationFile,
        _ change: (inout DecoderConfiguration, inout ExpertFeedForward, ConfigurationFile) throws(ConfigurationError)
            -> Void
    ) throws(ConfigurationError) -> ModelDescription {
        var reader = DecoderReader(file)
        reader.length = 32_768
        var decoder = try reader.decoder()
        var experts = try file.experts(
            "num_experts", "num_local_experts", size: file.integer("moe_intermediate_size", in: DecoderReader.sizes))
        try change(&decoder, &experts, file)
        let step = try file.optionalInteger("decoder_sparse_step", in: 1...1 << 12) ?? 1
        let dense = Set(try file.tokenIDs("mlp_only_layers"))
        decoder.replaceFeedForward { ($0 + 1) % step == 0 && !dense.contains($0) ? .experts(experts) : nil }
        return ModelDescription(
            decoder,
            .expertsInMLP.replacing(
                .init("mlp.shared_expert.gate_proj", .sharedGate), .init("mlp.shared_expert.up_proj", .sharedUp),
                .init("mlp.shared_expert.down_proj", .sharedDown), .init("mlp.shared_expert_gate", .sharedScale)))
    }
}

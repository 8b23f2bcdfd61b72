import Tensors

extension ModelFamily {
    /// gpt-oss: sinks, a window in every second layer, biases everywhere, experts with a clamped gate.
    static let gptOSS = ModelFamily("gpt_oss", models: "gpt-oss", isComputed: false) {
        file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 131_072
        reader.norm.epsilon = 1e-5
        reader.theta = 150_000
        var decoder = try reader.decoder()
        var experts = try file.experts(
            "num_local_experts", size: file.integer("intermediate_size", in: DecoderReader.sizes))
        (experts.hasRouterBias, experts.hasBias) = (true, true)
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows)
        let windows = try file.windows(window, count: decoder.layers.count) { $0 % 2 == 0 }
        decoder.changeAttention { attention, layer in
            (attention.hasInputBias, attention.hasOutputBias) = (true, true)
            attention.scores.hasSinks = true
            attention.window = windows[layer]
        }
        decoder.replaceFeedForward { _ in .experts(experts) }
        return ModelDescription(
            decoder,
            .huggingFace.replacing(
                .init("self_attn.sinks", .sinks, isBare: true), .init("mlp.router", .router),
                .init("mlp.experts.gate_up_proj", .expertGate, .expertUp, isTransposed: true, isBare: true),
                .init("mlp.experts.down_proj", .expertDown, isTransposed: true, isBare: true)))
    }
}

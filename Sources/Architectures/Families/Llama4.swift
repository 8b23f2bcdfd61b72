import Tensors

extension ModelFamily {
    /// Llama 4's text model: chunked attention, layers without rotation, experts in every layer or every second one.
    static let llama4 = ModelFamily("llama4_text", models: "Llama 4 (text)", isComputed: false) {
        file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 131_072
        reader.norm.epsilon = 1e-5
        reader.theta = 500_000
        reader.pairing = .interleaved
        let width = try file.integer("intermediate_size", in: DecoderReader.sizes)
        let dense = try file.optionalInteger("intermediate_size_mlp", in: DecoderReader.sizes)
        var decoder = try reader.decoder(intermediateSize: dense ?? width)
        var experts = try file.experts("num_local_experts", size: width)
        experts.sharedSize = width
        let step = try file.optionalInteger("interleave_moe_layer_step", in: 1...1 << 12) ?? 1
        let chunk = try file.optionalInteger("attention_chunk_size", in: DecoderReader.windows)
        decoder.changeAttention { attention, layer in
            let isGlobal = (layer + 1) % 4 == 0
            attention.window = isGlobal ? nil : chunk
            if isGlobal { attention.rotation = nil }
        }
        decoder.replaceFeedForward { ($0 + 1) % step == 0 ? .experts(experts) : nil }
        decoder.otherFeatures = [
            "attention in chunks", "scales of queries that grow with the position", "norms after rotation",
        ]
        return ModelDescription(
            decoder,
            .huggingFace.replacing(
                .init("feed_forward.gate_proj", .gate), .init("feed_forward.up_proj", .up),
                .init("feed_forward.down_proj", .down), .init("feed_forward.router", .router),
                .init("feed_forward.experts.gate_up_proj", .expertGate, .expertUp, isTransposed: true, isBare: true),
                .init("feed_forward.experts.down_proj", .expertDown, isTransposed: true, isBare: true),
                .init("feed_forward.shared_expert.gate_proj", .sharedGate),
                .init("feed_forward.shared_expert.up_proj", .sharedUp),
                .init("feed_forward.shared_expert.down_proj", .sharedDown)))
    }
}

import Tensors

extension ModelFamily {
    /// Phi-3, Phi-4: Llama with fused projections; some models rotate only a part of each head.
    static let phi3 = ModelFamily("phi3", models: "Phi-3, Phi-3.5, Phi-4, Phi-4-mini") {
        file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 4096
        reader.norm.epsilon = 1e-5
        reader.rotatedShare = 1
        // The class takes its older names for LongRoPE, and yarn too.
        reader.longRope = LongRopeSpelling(names: ["longrope", "su", "yarn"], originalLength: 4096)
        var decoder = try reader.decoder()
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows)
        decoder.changeAttention { attention, _ in attention.window = window }
        return ModelDescription(
            decoder,
            .huggingFace.replacing(
                .init("self_attn.qkv_proj", .query, .key, .value), .init("mlp.gate_up_proj", .gate, .up)))
    }
}

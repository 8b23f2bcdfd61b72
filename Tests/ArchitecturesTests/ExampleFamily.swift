@testable import Architectures

extension ModelFamily {
    /// Llama with layer norms, biases on query, key and value, and no rotation in every third layer.
    static let example = ModelFamily("example", models: "Example 7B") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        // The defaults of the family's class in transformers, for keys that a file leaves out.
        reader.length = 4096
        reader.keys.normEpsilon = "layer_norm_eps"
        reader.norm = NormConfiguration(kind: .layer, hasBias: true, epsilon: 1e-5)
        var decoder = try reader.decoder()
        let every = try file.optionalInteger("no_rope_interval", in: 1...4096) ?? 3
        decoder.changeAttention { attention, layer in
            attention.hasInputBias = true
            if (layer + 1) % every == 0 { attention.rotation = nil }
        }
        return ModelDescription(
            decoder,
            .huggingFace.replacing(.init("self_attn.qkv_proj", .query, .key, .value)))
    }
}

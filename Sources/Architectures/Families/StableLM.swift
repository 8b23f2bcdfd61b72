import Tensors

extension ModelFamily {
    /// StableLM: Llama with layer norms, rotation of a part of each head, and in some models parallel branches.
    static let stableLM = ModelFamily("stablelm", "stablelm_epoch", models: "StableLM, StableLM 2") {
        file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 4096
        reader.sizes = ["num_key_value_heads": 32]
        reader.keys.normEpsilon = file.has("norm_eps") ? "norm_eps" : "layer_norm_eps"
        reader.norm = NormConfiguration(kind: .layer, hasBias: true, epsilon: 1e-5)
        // The first files call the share `rope_pct`.
        reader.rotatedShare = try file.optionalNumber("rope_pct", in: 0...1) ?? 0.25
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("use_qkv_bias") ?? false
        let isParallel = try file.optionalBool("use_parallel_residual") ?? false
        let epsilon = decoder.finalNorm.epsilon
        let hasNorms = try file.optionalBool("qk_layernorm") ?? false
        decoder.changeLayers { layer, _ in layer.order = isParallel ? .parallel(sharesNorm: true) : .sequential }
        decoder.changeAttention { attention, _ in
            attention.hasInputBias = hasBias
            if hasNorms {
                attention.queryKeyNorm = QueryKeyNorm(.eachHead, NormConfiguration(kind: .layer, epsilon: epsilon))
            }
        }
        return ModelDescription(
            decoder,
            .huggingFace.replacing(
                .init("self_attn.q_layernorm.norms.*", .queryNorm), .init("self_attn.k_layernorm.norms.*", .keyNorm)))
    }
}

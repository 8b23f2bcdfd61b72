import Tensors

extension ModelFamily {
    /// DeepSeek V2, V3, R1: latent attention, mixtures of experts after some dense layers.
    static let deepSeek = ModelFamily("deepseek_v2", "deepseek_v3", models: "DeepSeek-V2, V3, R1", isComputed: false) {
        file throws(ConfigurationError) in
        let isThird = try file.optionalString("model_type") == "deepseek_v3"
        var reader = DecoderReader(file)
        reader.length = isThird ? 4096 : 2048
        reader.keys.headDimension = "v_head_dim"
        reader.pairing = .interleaved
        var decoder = try reader.decoder()
        let sizes = DecoderReader.sizes
        let latent = LatentAttention(
            headCount: try file.integer("num_attention_heads", in: 1...1 << 16),
            queryRank: try file.optionalInteger("q_lora_rank", in: sizes),
            keyValueRank: try file.integer("kv_lora_rank", in: sizes),
            rotation: try reader.rotation(
                dimension: file.integer("qk_rope_head_dim", in: 1...1 << 16),
                RotaryEmbedding(file, trainedLength: reader.trainedLength())),
            plainDimension: try file.integer("qk_nope_head_dim", in: 1...1 << 16),
            valueDimension: try file.integer("v_head_dim", in: 1...1 << 16))
        let (experts, firstLayer) = try file.deepSeekExperts(hasCorrection: isThird)
        decoder.changeLayers { layer, _ in layer.attention = .latent(latent) }
        decoder.replaceFeedForward { $0 < firstLayer ? nil : .experts(experts) }
        return ModelDescription(
            decoder,
            .expertsInMLP.replacing(
                .init("self_attn.q_a_proj", .queryDown), .init("self_attn.q_a_layernorm", .queryDownNorm),
                .init("self_attn.q_b_proj", .queryUp), .init("self_attn.kv_a_proj_with_mqa", .keyValueDown),
                .init("self_attn.kv_a_layernorm", .keyValueDownNorm), .init("self_attn.kv_b_proj", .keyValueUp)))
    }
}

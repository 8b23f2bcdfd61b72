import Tensors

extension ModelFamily {
    /// GPT-NeoX, Pythia: parallel attention and feed-forward with a norm each; query, key and value fused head by head.
    static let gptNeoX = ModelFamily("gpt_neox", models: "GPT-NeoX, Pythia") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.keys.keyValueHeadCount = nil
        reader.keys.normEpsilon = "layer_norm_eps"
        reader.keys.theta = "rotary_emb_base"
        reader.length = 2048
        reader.norm = NormConfiguration(kind: .layer, hasBias: true, epsilon: 1e-5)
        reader.activation = .gelu
        reader.isGated = false
        reader.rotatedShare = try file.optionalNumber("rotary_pct", in: 0...1) ?? 0.25
        var decoder = try reader.decoder()
        let isParallel = try file.optionalBool("use_parallel_residual") ?? true
        let hasBias = try file.optionalBool("attention_bias") ?? true
        decoder.changeLayers { layer, _ in layer.order = isParallel ? .parallel(sharesNorm: false) : .sequential }
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
        }
        decoder.changeFeedForward { $0.hasBias = true }
        return ModelDescription(
            decoder,
            TensorNames(
                prefixes: ["gpt_neox."], embedding: "embed_in", finalNorm: "final_layer_norm", head: "embed_out",
                layers: "layers.",
                [
                    .init("input_layernorm", .attentionNorm),
                    .init("attention.query_key_value", .query, .key, .value, arrangement: .byKeyValueHead),
                    .init("attention.dense", .attentionOutput),
                    .init("post_attention_layernorm", .feedForwardNorm),
                    .init("mlp.dense_h_to_4h", .up),
                    .init("mlp.dense_4h_to_h", .down),
                ]))
    }
}

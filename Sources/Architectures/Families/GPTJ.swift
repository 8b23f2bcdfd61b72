import Tensors

extension ModelFamily {
    /// GPT-J: parallel attention and feed-forward that share one norm, interleaved rotation of a part of each head.
    static let gptJ = ModelFamily("gptj", models: "GPT-J") { file throws(ConfigurationError) in
        var reader = DecoderReader(gpt: file)
        reader.ties = false
        reader.isRotary = false
        reader.pairing = .interleaved
        var decoder = try reader.decoder()
        decoder.head.hasBias = true
        let features = decoder.layers[0].attention.headDimension
        // A null means that the whole head is rotated; a missing key means the default of transformers, 64 features.
        let dimension =
            file.contains("rotary_dim")
            ? try file.optionalInteger("rotary_dim", in: 2...features) ?? features : min(64, features)
        let rotation = try reader.rotation(
            dimension: dimension, RotaryEmbedding(theta: 10_000, trainedLength: decoder.positionLimit))
        decoder.changeLayers { layer, _ in layer.order = .parallel(sharesNorm: true) }
        decoder.changeAttention { attention, _ in attention.rotation = rotation }
        decoder.changeFeedForward { $0.hasBias = true }
        return ModelDescription(
            decoder,
            TensorNames(
                prefixes: ["transformer."], embedding: "wte", finalNorm: "ln_f", layers: "h.",
                [
                    .init("ln_1", .attentionNorm),
                    .init("attn.q_proj", .query),
                    .init("attn.k_proj", .key),
                    .init("attn.v_proj", .value),
                    .init("attn.out_proj", .attentionOutput),
                    .init("mlp.fc_in", .up),
                    .init("mlp.fc_out", .down),
                ]))
    }
}

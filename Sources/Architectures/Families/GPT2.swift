import Tensors

extension ModelFamily {
    /// GPT-2: learned positions, layer norms, no gate, matrices stored as `[input, output]`.
    static let gpt2 = ModelFamily("gpt2") { file throws(ConfigurationError) in
        var reader = DecoderReader(gpt: file)
        reader.isRotary = false
        var decoder = try reader.decoder()
        decoder.embedding.learnedPositions = LearnedPositions(count: try reader.trainedLength())
        let isScaled = try file.optionalBool("scale_attn_weights") ?? true
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (true, true)
            attention.scores.scale = isScaled ? nil : 1
        }
        decoder.changeFeedForward { $0.hasBias = true }
        for key in ["scale_attn_by_inverse_layer_idx", "add_cross_attention"] where try file.optionalBool(key) ?? false
        {
            decoder.otherFeatures.append(key)
        }
        return ModelDescription(
            decoder,
            TensorNames(
                prefixes: ["transformer.", ""], embedding: "wte", positions: "wpe", finalNorm: "ln_f", layers: "h.",
                [
                    .init("ln_1", .attentionNorm),
                    .init("attn.c_attn", .query, .key, .value, isTransposed: true),
                    .init("attn.c_proj", .attentionOutput, isTransposed: true),
                    .init("ln_2", .feedForwardNorm),
                    .init("mlp.c_fc", .up, isTransposed: true),
                    .init("mlp.c_proj", .down, isTransposed: true),
                ]))
    }

    /// GPT-J: parallel attention and feed-forward that share one norm, interleaved rotation of a part of each head.
    static let gptJ = ModelFamily("gptj") { file throws(ConfigurationError) in
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

extension DecoderReader {
    /// The keys that GPT-2 and GPT-J share.
    fileprivate init(gpt file: ConfigurationFile) {
        self.init(file)
        keys.hiddenSize = "n_embd"
        keys.layerCount = "n_layer"
        keys.headCount = "n_head"
        keys.keyValueHeadCount = nil
        keys.intermediateSize = "n_inner"
        keys.lengths = ["n_positions"]
        keys.normEpsilon = "layer_norm_epsilon"
        keys.activation = "activation_function"
        norm = NormConfiguration(kind: .layer, hasBias: true, epsilon: 1e-5)
        activation = .geluTanh
        isGated = false
        widthMultiple = 4
        ties = true
    }
}

import Tensors

extension ModelFamily {
    /// GPT-2: learned positions, layer norms, no gate, matrices stored as `[input, output]`.
    static let gpt2 = ModelFamily("gpt2", models: "GPT-2") { file throws(ConfigurationError) in
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
}

extension DecoderReader {
    /// The keys that GPT-2 and GPT-J share.
    init(gpt file: ConfigurationFile) {
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

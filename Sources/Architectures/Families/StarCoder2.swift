import Tensors

extension ModelFamily {
    /// StarCoder 2: layer norms and biases, rotary embedding, no gate.
    static let starCoder2 = ModelFamily("starcoder2", models: "StarCoder2") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.sizes = ["num_key_value_heads": 2]
        reader.length = 4096
        reader.keys.normEpsilon = "norm_epsilon"
        reader.norm = NormConfiguration(kind: .layer, hasBias: true, epsilon: 1e-5)
        reader.activation = .geluTanh
        reader.isGated = false
        reader.ties = true
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("use_bias") ?? true
        let window = try file.optionalInteger("sliding_window", in: DecoderReader.windows)
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
            attention.window = window
        }
        decoder.changeFeedForward { $0.hasBias = hasBias }
        return ModelDescription(
            decoder, .huggingFace.replacing(.init("mlp.c_fc", .up), .init("mlp.c_proj", .down)))
    }
}

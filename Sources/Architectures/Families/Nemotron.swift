import Tensors

extension ModelFamily {
    /// Nemotron: layer norms stored as differences from 1, squared ReLU without a gate, half a head is rotated.
    static let nemotron = ModelFamily("nemotron", models: "Nemotron 4, Minitron") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 4096
        reader.keys.normEpsilon = "norm_eps"
        reader.norm = NormConfiguration(kind: .layer, hasBias: true, epsilon: 1e-5, weightOffset: 1)
        reader.activation = .reluSquared
        reader.isGated = false
        reader.rotatedShare = 0.5
        var decoder = try reader.decoder()
        try decoder.readBiases(file)
        return ModelDescription(decoder, .huggingFace)
    }
}

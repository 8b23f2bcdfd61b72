import Tensors

extension ModelFamily {
    /// GLM-4.5: mixtures of experts like DeepSeek's, half of each head rotated, query and key norms in some models.
    static let glm4MoE = ModelFamily("glm4_moe", models: "GLM-4.5, GLM-4.5-Air", isComputed: false) {
        file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 131_072
        reader.norm.epsilon = 1e-5
        reader.rotatedShare = 0.5
        var decoder = try reader.decoder()
        let (experts, firstLayer) = try file.deepSeekExperts(hasCorrection: true)
        let hasBias = try file.optionalBool("attention_bias") ?? false
        let norm =
            try file.optionalBool("use_qk_norm") ?? false ? QueryKeyNorm(.perHead, decoder.finalNorm) : nil
        decoder.changeAttention { attention, _ in
            attention.hasInputBias = hasBias
            attention.queryKeyNorm = norm
        }
        decoder.replaceFeedForward { $0 < firstLayer ? nil : .experts(experts) }
        return ModelDescription(decoder, .expertsInMLP)
    }
}

import Architectures

extension DecoderConfiguration {
    /// The number of parameters as papers count them, with a tied head counted once.
    public var parameterCount: Int { parameters().reduce(0) { $0 + $1.count } }

    /// The number of parameters that a token uses: of experts only the active ones, of a vision tower none.
    public var activeParameterCount: Int {
        parameters().reduce(0) { sum, parameter in
            if case .companion = parameter.name { return sum }
            guard let experts = experts(of: parameter) else { return sum + parameter.count }
            return sum + parameter.count / experts.expertCount * experts.activeCount
        }
    }

    private func experts(of parameter: Parameter) -> ExpertFeedForward? {
        guard case .layer(let layer, let part) = parameter.name,
            [.expertGate, .expertUp, .expertDown].contains(part),
            case .experts(let experts) = layers[layer].feedForward
        else { return nil }
        return experts
    }

    /// Numbers that the key-value cache of all layers keeps per token.
    public func cachedNumbersPerToken(_ form: LatentCacheForm = .latent) -> Int {
        layers.reduce(0) { $0 + $1.attention.cachedNumbers(form, keyValueHeadCount: $1.attention.keyValueHeadCount) }
    }
}

/// How a runtime caches latent attention (`LatentAttention`).
public enum LatentCacheForm: String, Codable, Sendable {
    /// Every card caches the latent vector.
    case latent
    /// A card caches its heads' expanded keys and values, padded to one length that kernels support (vLLM 0.6: 256).
    case expanded
}

extension AttentionKind {
    /// Numbers cached per token on a card that holds the given number of key-value heads.
    func cachedNumbers(_ form: LatentCacheForm, keyValueHeadCount heads: Int) -> Int {
        switch self {
        case .groupedQuery(let attention): 2 * heads * attention.headDimension
        case .latent(let attention):
            switch form {
            case .latent: attention.cachedDimension
            case .expanded:
                2 * heads * ((max(attention.headDimension, attention.valueDimension) + 127) / 128 * 128)
            }
        }
    }
}

import Tensors

extension DecoderConfiguration {
    /// The features of the model that this runtime does not compute yet, in words for messages; empty: none.
    ///
    /// `sizing` plans for models with such features too.
    public var uncomputedFeatures: [String] {
        var features: [String] = []
        func add(_ condition: Bool, _ feature: String) {
            if condition, !features.contains(feature) { features.append(feature) }
        }
        for layer in layers {
            switch layer.attention {
            case .latent: add(true, "latent attention")
            case .groupedQuery(let attention):
                add(
                    attention.headDimension > KeyValueType.longestHead,
                    "heads of \(attention.headDimension) features (at most \(KeyValueType.longestHead))")
                // Pairs of bfloat16 weights may not be cut between heads.
                add(attention.headDimension % 2 != 0, "heads of an odd number of features")
            }
            if case .experts = layer.feedForward { add(true, "mixtures of experts") }
        }
        for feature in otherFeatures { add(true, feature) }
        return features
    }
}

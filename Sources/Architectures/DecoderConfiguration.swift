import Tensors

/// A decoder as data: everything that its layers need to know, and nothing about files or ranks.
public struct DecoderConfiguration: Equatable, Sendable {
    /// `model_type`, for messages.
    public var modelType: String
    public var hiddenSize: Int
    public var vocabularySize: Int
    /// Whether the output head is the embedding.
    public var tiesEmbeddings: Bool
    /// The longest context that the model was made for, scaled rotary embedding included.
    public var positionLimit: Int
    public var embedding = EmbeddingConfiguration()
    public var layers: [LayerConfiguration]
    /// What the results of attention and feed-forward are multiplied by before they are added to the stream (Granite).
    public var residualScale: Float = 1
    /// The norm between the last layer and the head.
    public var finalNorm: NormConfiguration
    public var head = HeadConfiguration()
    /// Parts beside the decoder, by name and number of parameters: a vision tower and what joins it to the decoder.
    public var companions: [Companion] = []
    /// What the family does that no kind of this description expresses, in words for messages.
    public var otherFeatures: [String] = []

    public init(
        modelType: String, hiddenSize: Int, vocabularySize: Int, tiesEmbeddings: Bool, positionLimit: Int,
        layers: [LayerConfiguration], finalNorm: NormConfiguration
    ) {
        self.modelType = modelType
        self.hiddenSize = hiddenSize
        self.vocabularySize = vocabularySize
        self.tiesEmbeddings = tiesEmbeddings
        self.positionLimit = positionLimit
        self.layers = layers
        self.finalNorm = finalNorm
    }

    /// The rotations of the layers, each once, in the order of the layers.
    public var rotations: [Rotation?] {
        var rotations: [Rotation?] = []
        for layer in layers where !rotations.contains(layer.attention.rotation) {
            rotations.append(layer.attention.rotation)
        }
        return rotations
    }

    /// The arithmetic of a norm; nil for parameters that are no norm.
    public func norm(_ name: ParameterName) -> NormConfiguration? {
        switch name {
        case .finalNorm: return finalNorm
        case .layer(let layer, .queryNorm), .layer(let layer, .keyNorm):
            guard case .groupedQuery(let attention) = layers[layer].attention else { return nil }
            return attention.queryKeyNorm?.norm
        case .layer(let layer, .attentionNorm), .layer(let layer, .afterAttentionNorm),
            .layer(let layer, .feedForwardNorm), .layer(let layer, .afterFeedForwardNorm),
            .layer(let layer, .queryDownNorm), .layer(let layer, .keyValueDownNorm):
            return layers[layer].norm
        case .embedding, .positions, .head, .companion, .layer: return nil
        }
    }
}

/// What happens between a token's row of the embedding and the first layer.
public struct EmbeddingConfiguration: Equatable, Sendable {
    /// What rows of the embedding are multiplied by.
    public var scale: Float = 1
    /// Rows of a table that are added by position; nil: there is no such table.
    public var learnedPositions: LearnedPositions?
}

/// A table with a row for each position, which is added to the embedding.
public struct LearnedPositions: Equatable, Sendable {
    /// Rows of the table.
    public var count: Int
    /// The row of the first position.
    public var offset: Int

    public init(count: Int, offset: Int = 0) {
        self.count = count
        self.offset = offset
    }
}

/// What happens between the final norm and the logits.
public struct HeadConfiguration: Equatable, Sendable {
    public var hasBias = false
    /// What logits are multiplied by.
    public var scale: Float = 1
    /// Logits x become cap · tanh(x / cap); nil: they stay as they are (Gemma 2, arXiv:2408.00118).
    public var cap: Float?
}

/// A part of a model beside its decoder, of which only the size is known.
public struct Companion: Equatable, Sendable {
    /// Such as `vision_tower`.
    public var name: String
    public var parameterCount: Int

    public init(name: String, parameterCount: Int) {
        self.name = name
        self.parameterCount = parameterCount
    }
}

/// A norm's arithmetic and which parameters it has.
public struct NormConfiguration: Hashable, Sendable {
    public var kind: NormKind
    public var hasBias: Bool
    /// What is added to the mean of squares, or to the variance, before the root is taken.
    public var epsilon: Float
    /// What is added to the weight that checkpoints store: 1 where they store the difference from 1 (Gemma, Nemotron).
    public var weightOffset: Float

    public init(kind: NormKind, hasBias: Bool = false, epsilon: Float, weightOffset: Float = 0) {
        self.kind = kind
        self.hasBias = hasBias
        self.epsilon = epsilon
        self.weightOffset = weightOffset
    }

}

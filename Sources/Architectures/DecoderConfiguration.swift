import Tensors

/// A decoder as data: everything that its layers need to know, and nothing about files or ranks.
public struct DecoderConfiguration: Equatable, Sendable {
    /// `model_type`, for messages.
    public var modelType: String
    public var hiddenSize: Int
    public var vocabularySize: Int
    /// Whether the output head shares the embedding's weights.
    public var tiesEmbeddings: Bool
    /// The longest context that the model was made for, in tokens, with rotary scaling.
    public var positionLimit: Int
    public var embedding = EmbeddingConfiguration()
    public var layers: [LayerConfiguration]
    /// The factor on the outputs of attention and feed-forward before they join the residual stream (Granite).
    public var residualScale: Float = 1
    /// The norm between the last layer and the head.
    public var finalNorm: NormConfiguration
    public var head = HeadConfiguration()
    /// Parts of the model other than the decoder, such as a vision tower and its projector.
    public var companions: [Companion] = []
    /// Features of the family that no kind of this description expresses, in words for messages.
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

    /// The distinct rotations of the layers, in layer order; nil stands for layers without one.
    public var rotations: [Rotation?] {
        var rotations: [Rotation?] = []
        for layer in layers where !rotations.contains(layer.attention.rotation) {
            rotations.append(layer.attention.rotation)
        }
        return rotations
    }

    /// The configuration of the norm that a parameter belongs to; nil for parameters of other modules.
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
        case .embeddingNorm: return embedding.norm
        case .embedding, .embeddingProjection, .positions, .headProjection, .head, .companion, .layer: return nil
        }
    }
}

/// How a token's embedding row becomes the input of the first layer.
public struct EmbeddingConfiguration: Equatable, Sendable {
    /// The factor on embedding rows.
    public var scale: Float = 1
    /// The features of an embedding row, from which and to which matrices project; nil: the hidden size (OPT).
    public var width: Int?
    /// The norm that is applied to the first layer's input; nil: none (BLOOM).
    public var norm: NormConfiguration?
    /// The table of learned position embeddings; nil: there is none.
    public var learnedPositions: LearnedPositions?
}

/// A table with a row for each position that is added to the token's embedding.
public struct LearnedPositions: Equatable, Sendable {
    /// The number of positions; the table has `offset` more rows.
    public var count: Int
    /// The row of the first position.
    public var offset: Int

    public init(count: Int, offset: Int = 0) {
        self.count = count
        self.offset = offset
    }
}

/// How the final norm's output becomes logits.
public struct HeadConfiguration: Equatable, Sendable {
    public var hasBias = false
    /// Whether each row of the head's matrix is divided by its Euclidean norm (Baichuan 2's NormHead).
    public var normalizesRows = false
    /// The factor on logits.
    public var scale: Float = 1
    /// The soft cap, by which a logit x becomes cap · tanh(x / cap) (Gemma 2, arXiv:2408.00118); nil: none.
    public var cap: Float?
}

/// A part of a model other than its decoder; only its size is known.
public struct Companion: Equatable, Sendable {
    /// The part's name, such as `vision_tower`.
    public var name: String
    public var parameterCount: Int

    public init(name: String, parameterCount: Int) {
        self.name = name
        self.parameterCount = parameterCount
    }
}

/// The arithmetic and the parameters of a norm.
public struct NormConfiguration: Hashable, Sendable {
    public var kind: NormKind
    public var hasBias: Bool
    /// The number added to the mean square, or to the variance, before the square root.
    public var epsilon: Float
    /// The number added to stored weights: 1 for checkpoints that store the difference from 1 (Gemma, Nemotron).
    public var weightOffset: Float

    public init(kind: NormKind, hasBias: Bool = false, epsilon: Float, weightOffset: Float = 0) {
        self.kind = kind
        self.hasBias = hasBias
        self.epsilon = epsilon
        self.weightOffset = weightOffset
    }

}

import Topology

/// A decoder as data: everything that its layers need to know, and nothing about files or ranks.
public struct DecoderConfiguration: Equatable, Sendable {
    /// `model_type`, for messages.
    public var modelType: String
    public var hiddenSize: Int
    public var vocabularySize: Int
    /// Whether the output head is the embedding.
    public var tiesEmbeddings: Bool
    public var normEpsilon: Float
    /// The longest context that the model was made for, scaled rotary embedding included.
    public var positionLimit: Int
    public var rotary: RotaryEmbedding
    public var layers: [LayerConfiguration]

    public init(
        modelType: String, hiddenSize: Int, vocabularySize: Int, tiesEmbeddings: Bool, normEpsilon: Float,
        positionLimit: Int, rotary: RotaryEmbedding, layers: [LayerConfiguration]
    ) {
        self.modelType = modelType
        self.hiddenSize = hiddenSize
        self.vocabularySize = vocabularySize
        self.tiesEmbeddings = tiesEmbeddings
        self.normEpsilon = normEpsilon
        self.positionLimit = positionLimit
        self.rotary = rotary
        self.layers = layers
    }
}

/// One layer: attention, then feed-forward, each behind a norm and added to its input.
public struct LayerConfiguration: Equatable, Sendable {
    public var attention: GroupedQueryAttention
    public var feedForward: GatedFeedForward

    public init(attention: GroupedQueryAttention, feedForward: GatedFeedForward) {
        self.attention = attention
        self.feedForward = feedForward
    }
}

/// Attention whose query heads share key-value heads in groups.
public struct GroupedQueryAttention: Equatable, Sendable {
    public var queryHeadCount: Int
    public var keyValueHeadCount: Int
    public var headDimension: Int
    /// Whether query, key and value projections have biases.
    public var hasInputBias: Bool
    public var hasOutputBias: Bool
    /// Positions that a token sees, itself included; nil: all before it.
    public var window: Int?

    public init(
        queryHeadCount: Int, keyValueHeadCount: Int, headDimension: Int, hasInputBias: Bool = false,
        hasOutputBias: Bool = false, window: Int? = nil
    ) {
        self.queryHeadCount = queryHeadCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headDimension = headDimension
        self.hasInputBias = hasInputBias
        self.hasOutputBias = hasOutputBias
        self.window = window
    }

    /// How the output projection's sum over heads is cut: by whole heads, so that shards always agree with slices.
    public var outputContraction: ContractionLayout {
        ContractionLayout(length: queryHeadCount * headDimension, unit: headDimension)
    }
}

/// down(silu(gate(x)) · up(x)).
public struct GatedFeedForward: Equatable, Sendable {
    public var intermediateSize: Int
    public var hasBias: Bool

    public init(intermediateSize: Int, hasBias: Bool = false) {
        self.intermediateSize = intermediateSize
        self.hasBias = hasBias
    }

    /// How the down projection's sum is cut, and so where gate and up may be divided.
    public func contraction(shardCount: Int) -> ContractionLayout {
        ContractionLayout(length: intermediateSize, shardCount: shardCount)
    }
}

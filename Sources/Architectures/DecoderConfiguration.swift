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
    /// Whether norms have a bias beside their weight (LayerNorm instead of RMS norm).
    public var hasNormBias = false
    /// Parts beside the decoder, by name and number of parameters: a vision tower and what joins it to the decoder.
    public var companions: [Companion] = []

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

/// One layer: attention and feed-forward, with norms around them, added to its input.
public struct LayerConfiguration: Equatable, Hashable, Sendable {
    public var attention: AttentionKind
    public var feedForward: FeedForwardKind
    public var norms: NormPlacement

    public init(attention: AttentionKind, feedForward: FeedForwardKind, norms: NormPlacement = .before) {
        self.attention = attention
        self.feedForward = feedForward
        self.norms = norms
    }

    /// The two parts of a layer like Llama's, the only kind that the runtime computes yet; nil for others.
    public var dense: (attention: GroupedQueryAttention, feedForward: GatedFeedForward)? {
        guard case .groupedQuery(let attention) = attention, case .gated(let feedForward) = feedForward,
            norms == .before
        else { return nil }
        return (attention, feedForward)
    }
}

/// Where a layer has norms of the width of its input.
public enum NormPlacement: Hashable, Sendable {
    /// Before attention and before the feed-forward.
    case before
    /// After each of them.
    case after
    /// Before and after each of them.
    case around
    /// One norm, whose result both of them read.
    case shared
}

/// How a layer's tokens look at each other.
public enum AttentionKind: Hashable, Sendable {
    case groupedQuery(GroupedQueryAttention)
    case latent(LatentAttention)

    public var queryHeadCount: Int {
        switch self {
        case .groupedQuery(let attention): attention.queryHeadCount
        case .latent(let attention): attention.headCount
        }
    }

    /// Heads that keys and values have when they are not kept in a shorter form.
    public var keyValueHeadCount: Int {
        switch self {
        case .groupedQuery(let attention): attention.keyValueHeadCount
        case .latent(let attention): attention.headCount
        }
    }

    /// Features of a query head.
    public var headDimension: Int {
        switch self {
        case .groupedQuery(let attention): attention.headDimension
        case .latent(let attention): attention.headDimension
        }
    }

    /// Positions that a token sees, itself included; nil: all before it.
    public var window: Int? {
        switch self {
        case .groupedQuery(let attention): attention.window
        case .latent: nil
        }
    }

    /// How the output projection's sum over heads is cut: by whole heads, so that shards always agree with slices.
    public var outputContraction: ContractionLayout {
        switch self {
        case .groupedQuery(let attention): attention.outputContraction
        case .latent(let attention):
            ContractionLayout(length: attention.headCount * attention.valueDimension, unit: attention.valueDimension)
        }
    }

    /// Which heads a shard computes and keeps.
    public func placement(in group: ShardGroup, shard: Int) -> HeadPlacement {
        HeadPlacement(
            queryHeadCount: queryHeadCount, keyValueHeadCount: keyValueHeadCount, group: group, shard: shard)
    }
}

/// Attention whose query heads share key-value heads in groups.
public struct GroupedQueryAttention: Hashable, Sendable {
    public var queryHeadCount: Int
    public var keyValueHeadCount: Int
    public var headDimension: Int
    /// Whether query, key and value projections have biases.
    public var hasInputBias: Bool
    public var hasOutputBias: Bool
    /// Positions that a token sees, itself included; nil: all before it.
    public var window: Int?
    /// Norms of queries and keys before they meet.
    public var queryKeyNorm = QueryKeyNorm.none
    /// Whether each head has a learned logit that takes attention from the tokens (gpt-oss).
    public var hasSinks = false
    /// Whether scores fall with distance by a slope for each head instead of a rotation, which takes a bias for each pair of
    /// positions (ALiBi, Press et al., arXiv:2108.12409).
    public var hasLinearBias = false

    /// What a norm of queries and keys covers.
    public enum QueryKeyNorm: Hashable, Sendable {
        case none
        /// One weight for the features of a head, shared by all heads.
        case perHead
        /// A weight for every feature of all heads together.
        case allHeads
    }

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

/// Attention whose keys and values are made from a short vector for each position, which is all that is kept of it.
///
/// Multi-head latent attention: DeepSeek-AI, arXiv:2405.04434.
public struct LatentAttention: Hashable, Sendable {
    public var headCount: Int
    /// Length of the vector that queries are made from; nil: they are made from the layer's input.
    public var queryRank: Int?
    /// Length of the vector that keys and values are made from.
    public var keyValueRank: Int
    /// Features of a query or key that are rotated; a key's are shared by all heads.
    public var rotatedDimension: Int
    /// Features of a query or key that are not.
    public var plainDimension: Int
    /// Features of a value.
    public var valueDimension: Int

    public init(
        headCount: Int, queryRank: Int?, keyValueRank: Int, rotatedDimension: Int, plainDimension: Int,
        valueDimension: Int
    ) {
        self.headCount = headCount
        self.queryRank = queryRank
        self.keyValueRank = keyValueRank
        self.rotatedDimension = rotatedDimension
        self.plainDimension = plainDimension
        self.valueDimension = valueDimension
    }

    /// Features of a query head.
    public var headDimension: Int { rotatedDimension + plainDimension }
    /// Numbers kept for each position.
    public var cachedDimension: Int { keyValueRank + rotatedDimension }
}

/// What follows attention in a layer.
public enum FeedForwardKind: Hashable, Sendable {
    case gated(GatedFeedForward)
    /// down(activation(up(x))): two matrices.
    case plain(GatedFeedForward)
    case experts(ExpertFeedForward)

    /// The first of its matrices that a plan divides.
    var firstPart: LayerPart {
        switch self {
        case .gated: .gate
        case .plain: .up
        case .experts: .expertGate
        }
    }

    /// How the down projection's sum is cut, and so where gate and up may be divided.
    public func contraction(shardCount: Int) -> ContractionLayout {
        switch self {
        case .gated(let feedForward), .plain(let feedForward): feedForward.contraction(shardCount: shardCount)
        case .experts(let experts): ContractionLayout(length: experts.expertSize, shardCount: shardCount)
        }
    }
}

/// down(silu(gate(x)) · up(x)).
public struct GatedFeedForward: Hashable, Sendable {
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

/// Many gated feed-forwards, of which a router chooses a few for each token.
public struct ExpertFeedForward: Hashable, Sendable {
    public var expertCount: Int
    /// Experts that a token goes through.
    public var activeCount: Int
    /// Width of an expert.
    public var expertSize: Int
    /// Width of the feed-forward that every token goes through besides; 0: none.
    public var sharedSize: Int
    /// Whether a number computed from the token scales the shared one.
    public var hasSharedGate = false
    /// Whether the router adds a number to each expert's score (its bias, or a correction that balances load).
    public var hasRouterBias = false
    /// Whether experts' projections have biases.
    public var hasBias = false

    public init(expertCount: Int, activeCount: Int, expertSize: Int, sharedSize: Int = 0) {
        self.expertCount = expertCount
        self.activeCount = activeCount
        self.expertSize = expertSize
        self.sharedSize = sharedSize
    }
}

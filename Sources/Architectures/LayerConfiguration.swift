import Foundation
import Tensors
import Topology

/// One layer: attention and feed-forward, with norms around them, added to its input.
public struct LayerConfiguration: Equatable, Hashable, Sendable {
    public var attention: AttentionKind
    public var feedForward: FeedForwardKind
    /// The norms of the width of the layer's input.
    public var norm: NormConfiguration
    public var norms: NormPlacement
    public var order: BranchOrder

    public init(
        attention: AttentionKind, feedForward: FeedForwardKind, norm: NormConfiguration,
        norms: NormPlacement = .before, order: BranchOrder = .sequential
    ) {
        self.attention = attention
        self.feedForward = feedForward
        self.norm = norm
        self.norms = norms
        self.order = order
    }

    /// The norms of the layer's width that it has, in the order in which a token meets them.
    public var normParts: [LayerPart] {
        let isBefore = norms != .after
        let isAfter = norms != .before
        var parts: [LayerPart] = isBefore ? [.attentionNorm] : []
        if isAfter { parts.append(.afterAttentionNorm) }
        if isBefore, order != .parallel(sharesNorm: true) { parts.append(.feedForwardNorm) }
        if isAfter { parts.append(.afterFeedForwardNorm) }
        return parts
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
}

/// What the feed-forward of a layer reads.
public enum BranchOrder: Hashable, Sendable {
    /// The sum of the layer's input and the attention's result.
    case sequential
    /// The layer's input, as attention does; either has a norm of its own, or both read the result of one norm (GPT-J).
    case parallel(sharesNorm: Bool)
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

    /// How positions turn queries and keys; nil: they do not.
    public var rotation: Rotation? {
        switch self {
        case .groupedQuery(let attention): attention.rotation
        case .latent(let attention): attention.rotation
        }
    }

    /// How the output projection's sum over heads is cut: by whole heads, so that shards always agree with slices.
    public var outputContraction: ContractionLayout {
        switch self {
        case .groupedQuery(let attention):
            ContractionLayout(
                length: attention.queryHeadCount * attention.headDimension, unit: attention.headDimension)
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
    /// Features of a query, a key and a value.
    public var headDimension: Int
    /// Whether query, key and value projections have biases.
    public var hasInputBias = false
    public var hasOutputBias = false
    /// Positions that a token sees, itself included; nil: all before it.
    public var window: Int?
    /// Queries, keys and values are cut off at plus and minus this number; nil: they stay as they are (MPT, `clip_qkv`).
    public var projectionLimit: Float?
    /// How positions turn queries and keys; nil: they do not.
    public var rotation: Rotation?
    /// The norm of queries and of keys before they are rotated; nil: they have none.
    public var queryKeyNorm: QueryKeyNorm?
    public var scores = ScoreConfiguration()

    public init(queryHeadCount: Int, keyValueHeadCount: Int, headDimension: Int, rotation: Rotation? = nil) {
        self.queryHeadCount = queryHeadCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headDimension = headDimension
        self.rotation = rotation
    }

    /// What the products of queries and keys are multiplied by.
    public var scoreScale: Float { scores.scale ?? 1 / Float(headDimension).squareRoot() }
}

/// A norm of queries and of keys before they meet.
public struct QueryKeyNorm: Hashable, Sendable {
    public var span: Span
    public var norm: NormConfiguration

    /// What is normalized together.
    public enum Span: Hashable, Sendable {
        /// The features of a head; all heads share one weight.
        case perHead
        /// All heads together; every feature has a weight.
        case allHeads
    }

    public init(_ span: Span, _ norm: NormConfiguration) {
        self.span = span
        self.norm = norm
    }
}

/// What happens to the products of queries and keys before they become weights.
public struct ScoreConfiguration: Hashable, Sendable {
    /// What they are multiplied by; nil: 1 / √(features of a head).
    public var scale: Float?
    /// Scores x become cap · tanh(x / cap); nil: they stay as they are (Gemma 2, arXiv:2408.00118).
    public var cap: Float?
    /// Whether scores fall with distance by a slope for each head, and how steep the slopes are.
    public var linearBias: LinearBias?
    /// Whether each head has a learned logit that takes attention from the tokens (gpt-oss).
    public var hasSinks = false
}

/// Slopes of scores over distance, one for each head (ALiBi: Press et al., arXiv:2108.12409).
public struct LinearBias: Hashable, Sendable {
    /// The exponent of the last head's slope: 2^-maximum.
    public var maximum: Double

    public init(maximum: Double = 8) {
        self.maximum = maximum
    }

    /// The slopes of all heads, by their global numbers.
    ///
    /// Those of a number of heads that is no power of two are every second one of the next power's, which are the slopes of
    /// the power below, and then the others, as far as needed.
    public func slopes(headCount: Int) -> [Float] {
        var power = 1
        while power < headCount { power *= 2 }
        let fine = (1...power).map { Float(exp2(-maximum * Double($0) / Double(power))) }
        guard power != headCount else { return fine }
        let coarse = stride(from: 1, to: power, by: 2).map { fine[$0] }
        let others = stride(from: 0, to: power, by: 2).map { fine[$0] }
        return Array((coarse + others).prefix(headCount))
    }
}

/// Rotation of queries and keys by their positions.
public struct Rotation: Hashable, Sendable {
    public var embedding: RotaryEmbedding
    /// The first features of a head, which are rotated; the others stay as they are.
    public var dimension: Int
    public var pairing: Pairing

    /// Which features of a head make a pair, as checkpoints order them.
    public enum Pairing: Hashable, Sendable {
        /// Feature i and feature i + dimension / 2.
        case halves
        /// Feature 2i and feature 2i + 1.
        case interleaved
    }

    public init(_ embedding: RotaryEmbedding, dimension: Int, pairing: Pairing = .halves) {
        self.embedding = embedding
        self.dimension = dimension
        self.pairing = pairing
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
    /// How a part of queries and keys is turned; that part of a key is shared by all heads.
    public var rotation: Rotation
    /// Features of a query or key that are not rotated.
    public var plainDimension: Int
    /// Features of a value.
    public var valueDimension: Int

    public init(
        headCount: Int, queryRank: Int?, keyValueRank: Int, rotation: Rotation, plainDimension: Int, valueDimension: Int
    ) {
        self.headCount = headCount
        self.queryRank = queryRank
        self.keyValueRank = keyValueRank
        self.rotation = rotation
        self.plainDimension = plainDimension
        self.valueDimension = valueDimension
    }

    /// Features of a query head.
    public var headDimension: Int { rotation.dimension + plainDimension }
    /// Numbers kept for each position.
    public var cachedDimension: Int { keyValueRank + rotation.dimension }
}

/// What follows attention in a layer.
public enum FeedForwardKind: Hashable, Sendable {
    case dense(FeedForward)
    case experts(ExpertFeedForward)

    /// The share of experts that a token goes through.
    public var activeShare: Double {
        switch self {
        case .dense: 1
        case .experts(let part): Double(part.activeCount) / Double(part.expertCount)
        }
    }

    /// Whether a second matrix gates the first.
    var isGated: Bool {
        switch self {
        case .dense(let feedForward): feedForward.isGated
        case .experts: true
        }
    }

    /// The first of its matrices that a plan divides.
    var firstPart: LayerPart {
        switch self {
        case .dense(let feedForward): feedForward.isGated ? .gate : .up
        case .experts: .expertGate
        }
    }

    /// How the down projection's sum is cut, and so where gate and up may be divided.
    public func contraction(shardCount: Int) -> ContractionLayout {
        switch self {
        case .dense(let feedForward): ContractionLayout(length: feedForward.intermediateSize, shardCount: shardCount)
        case .experts(let experts): ContractionLayout(length: experts.expertSize, shardCount: shardCount)
        }
    }
}

/// down(activation(gate(x)) · up(x)), or down(activation(up(x))) without a gate.
public struct FeedForward: Hashable, Sendable {
    public var intermediateSize: Int
    public var activation: Activation
    public var isGated: Bool
    public var hasBias: Bool

    public init(intermediateSize: Int, activation: Activation, isGated: Bool = true, hasBias: Bool = false) {
        self.intermediateSize = intermediateSize
        self.activation = activation
        self.isGated = isGated
        self.hasBias = hasBias
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

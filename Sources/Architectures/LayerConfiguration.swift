import Foundation
import Tensors
import Topology

/// One decoder layer: attention and feed-forward with their norms, both added to the residual stream.
public struct LayerConfiguration: Equatable, Hashable, Sendable {
    public var attention: AttentionKind
    public var feedForward: FeedForwardKind
    /// The configuration of the norms over the hidden size.
    public var norm: NormConfiguration
    public var norms: NormPlacement
    public var order: BranchOrder
    /// Whether a learned number multiplies the residual stream after the layer (Gemma 4).
    public var scalesStream = false

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

    /// The layer's norms over the hidden size, in execution order.
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

/// Where a layer applies norms over the hidden size.
public enum NormPlacement: Hashable, Sendable {
    /// Before attention and before the feed-forward.
    case before
    /// After attention and after the feed-forward.
    case after
    /// Before and after both attention and the feed-forward.
    case around
}

/// Which input the feed-forward of a layer reads.
public enum BranchOrder: Hashable, Sendable {
    /// The layer's input plus the attention's output.
    case sequential
    /// The layer's input, which attention reads too; the branches share one norm (GPT-J) or have one each.
    case parallel(sharesNorm: Bool)
}

/// The kind of attention of a layer.
public enum AttentionKind: Hashable, Sendable {
    case groupedQuery(GroupedQueryAttention)
    case latent(LatentAttention)

    public var queryHeadCount: Int {
        switch self {
        case .groupedQuery(let attention): attention.queryHeadCount
        case .latent(let attention): attention.headCount
        }
    }

    /// The number of key-value heads; for latent attention, the number after expansion from the latent vector.
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

    /// The number of positions that a token attends to, itself included; nil: no limit.
    public var window: Int? {
        switch self {
        case .groupedQuery(let attention): attention.window
        case .latent: nil
        }
    }

    /// The rotation of queries and keys by position; nil: none.
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
    /// Features per head of queries, keys and values.
    public var headDimension: Int
    /// Whether query, key and value projections have biases.
    public var hasInputBias = false
    public var hasOutputBias = false
    /// The number of positions that a token attends to, itself included; nil: no limit.
    public var window: Int?
    /// Queries, keys and values are cut off at plus and minus this number; nil: they stay as they are (MPT, `clip_qkv`).
    public var projectionLimit: Float?
    /// How positions turn queries and keys; nil: they do not.
    public var rotation: Rotation?
    /// The norm applied to queries and to keys; nil: none.
    public var queryKeyNorm: QueryKeyNorm?
    /// Whether the values are the keys as they are before norm and rotation, so that there is no value projection.
    public var valuesAreKeys = false
    /// The norm applied to each value head, whose weights are all 1 and not stored; nil: none (Gemma 4).
    public var valueNorm: NormConfiguration?
    public var scores = ScoreConfiguration()

    public init(queryHeadCount: Int, keyValueHeadCount: Int, headDimension: Int, rotation: Rotation? = nil) {
        self.queryHeadCount = queryHeadCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headDimension = headDimension
        self.rotation = rotation
    }

    /// The factor on the products of queries and keys.
    public var scoreScale: Float { scores.scale ?? 1 / Float(headDimension).squareRoot() }
}

/// A norm applied to queries and to keys before their product.
public struct QueryKeyNorm: Hashable, Sendable {
    public var span: Span
    public var norm: NormConfiguration
    /// Whether heads are normalized after their rotation (Hunyuan), not before it.
    public var isAfterRotation = false

    /// The features that are normalized together.
    public enum Span: Hashable, Sendable {
        /// The features of one head; all heads share one weight vector.
        case perHead
        /// The features of one head; each head has a weight vector of its own.
        case eachHead
        /// The features of all heads; every feature has its own weight.
        case allHeads
    }

    public init(_ span: Span, _ norm: NormConfiguration) {
        self.span = span
        self.norm = norm
    }
}

/// How the products of queries and keys are changed before the softmax.
public struct ScoreConfiguration: Hashable, Sendable {
    /// The factor on the products; nil: 1 / √(head dimension).
    public var scale: Float?
    /// The soft cap, by which a score x becomes cap · tanh(x / cap) (Gemma 2, arXiv:2408.00118); nil: none.
    public var cap: Float?
    /// The bias that lowers scores in proportion to distance, with a slope per head; nil: none.
    public var linearBias: LinearBias?
    /// Whether each head has a learned sink: a logit that takes a share of the softmax (gpt-oss).
    public var hasSinks = false
    /// How queries grow with their positions; nil: they do not.
    public var growth: QueryGrowth?
}

/// A factor on queries that follows from their positions, for contexts beyond the trained length.
public enum QueryGrowth: Hashable, Sendable {
    /// 1 + beta · ln(1 + ⌊position / length⌋) (Ministral 3, after Llama 4).
    case inSteps(of: Int, beta: Float)
    /// ln(position + 1) / ln(length) from that length on (the first Qwen, `use_logn_attn`).
    case logarithmic(beyond: Int)

    /// The factor for the query at a position, which counts from 0.
    public func factor(position: Int) -> Float {
        switch self {
        case .inSteps(let length, let beta): 1 + beta * logf(1 + Float(position / length))
        case .logarithmic(let length):
            position < length || length < 2 ? 1 : Float(log(Double(position + 1)) / log(Double(length)))
        }
    }
}

/// A bias on scores that is linear in distance, with one slope per head (ALiBi: Press et al., arXiv:2108.12409).
public struct LinearBias: Hashable, Sendable {
    /// The negated exponent of the last head's slope, which is 2^-maximum.
    public var maximum: Double

    public init(maximum: Double = 8) {
        self.maximum = maximum
    }

    /// The slopes of all heads, indexed by global head number.
    ///
    /// If `headCount` is not a power of two, the slopes of the next lower power come first. The remaining heads take
    /// the first, third, fifth … slopes of the next higher power.
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
    /// The number of features that are rotated: the first ones of each head.
    public var dimension: Int
    public var pairing: Pairing

    /// Which features of a head form a pair, in the checkpoint's order.
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

/// Attention that caches a short latent vector per position and expands keys and values from it.
///
/// Multi-head latent attention: DeepSeek-AI, arXiv:2405.04434.
public struct LatentAttention: Hashable, Sendable {
    public var headCount: Int
    /// Length of the latent vector that queries are expanded from; nil: they are projected from the layer's input.
    public var queryRank: Int?
    /// Length of the latent vector that keys and values are expanded from.
    public var keyValueRank: Int
    /// The rotation of one part of each query and key; all heads share that part of the key.
    public var rotation: Rotation
    /// Features per query or key head that are not rotated.
    public var plainDimension: Int
    /// Features per value head.
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
    /// Numbers cached for each position: the latent vector and the rotated part of the key.
    public var cachedDimension: Int { keyValueRank + rotation.dimension }
}

/// The kind of feed-forward of a layer.
public enum FeedForwardKind: Hashable, Sendable {
    case dense(FeedForward)
    case experts(ExpertFeedForward)

    /// The fraction of the experts that process a token; 1 without experts.
    public var activeShare: Double {
        switch self {
        case .dense: 1
        case .experts(let part): Double(part.activeCount) / Double(part.expertCount)
        }
    }

    /// Whether there is a gate projection beside the up projection.
    var isGated: Bool {
        switch self {
        case .dense(let feedForward): feedForward.isGated
        case .experts: true
        }
    }

    /// The first of its matrices that tensor parallelism divides.
    var firstPart: LayerPart {
        switch self {
        case .dense(let feedForward): feedForward.isGated ? .gate : .up
        case .experts: .expertGate
        }
    }

    /// How the down projection's sum is cut, and hence where gate and up may be divided.
    public func contraction(shardCount: Int) -> ContractionLayout {
        switch self {
        case .dense(let feedForward): ContractionLayout(length: feedForward.intermediateSize, shardCount: shardCount)
        case .experts(let experts): ContractionLayout(length: experts.expertSize, shardCount: shardCount)
        }
    }
}

/// A dense feed-forward: down(activation(gate(x)) · up(x)), or down(activation(up(x))) without a gate.
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

/// A mixture of gated experts, of which a router chooses a few for each token.
public struct ExpertFeedForward: Hashable, Sendable {
    public var expertCount: Int
    /// Experts chosen per token.
    public var activeCount: Int
    /// Intermediate size of one expert.
    public var expertSize: Int
    /// Intermediate size of the shared expert, which processes every token; 0: there is none.
    public var sharedSize: Int
    /// Whether a scalar computed from the token scales the shared expert's output.
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

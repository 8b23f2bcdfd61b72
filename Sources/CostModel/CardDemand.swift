import Architectures
import Tensors
import Topology

/// How weights and cache are stored, for an answer.
public struct StorageChoice: Sendable {
    /// The scheme's name, for people.
    public var name: String
    /// Of the runtime's own accounting: the format of each matrix at a tensor degree.
    public var formats: @Sendable (_ shardCount: Int) -> (ParameterName) -> ComputeFormat
    /// Of accounting by coefficients.
    public var scheme: StoredScheme
    public var cacheType: KeyValueType
    public var quantizesActivations: Bool

    public init(
        name: String, formats: @escaping @Sendable (Int) -> (ParameterName) -> ComputeFormat,
        scheme: StoredScheme = .all[0],
        cacheType: KeyValueType, quantizesActivations: Bool
    ) {
        self.name = name
        self.formats = formats
        self.scheme = scheme
        self.cacheType = cacheType
        self.quantizesActivations = quantizesActivations
    }
}

/// What one card takes of a model under a profile, for any length and number of sequences.
///
/// In floating point: absurd models make numbers that integers do not hold. Below 2⁵³ they are exact.
public struct CardDemand: Sendable {
    public let weights: Double
    /// Bytes that this card keeps of a token.
    public let cachePerToken: Double
    public let overhead: Double
    /// Bytes that it reads for a token, beside the cache: active weights.
    public let readPerToken: Double
    private let step: Step
    private let profile: MemoryProfile
    private let cacheBlock: Double

    private enum Step: Sendable {
        case runtime(RankShare, KeyValueType, quantizesActivations: Bool)
        case coefficients(perToken: Double, perPair: Double, fixed: Double)
    }

    /// Adds up what `rank` takes.
    public init(
        _ decoder: DecoderConfiguration, plan: ParallelPlan, rank: Int, storage: StorageChoice, profile: MemoryProfile
    ) {
        self.profile = profile
        cacheBlock = Double(profile.cacheBlock)
        overhead = profile.coefficients.overhead.value
        switch profile.accounting {
        case .runtime:
            let share = RankShare(decoder, plan: plan, rank: rank, format: storage.formats(plan.tensorDegree))
            weights = Double(share.weights)
            readPerToken = weights * decoder.activeShare
            cachePerToken = Double(share.cacheBytesPerPosition(storage.cacheType))
            step = .runtime(share, storage.cacheType, quantizesActivations: storage.quantizesActivations)
        case .coefficients:
            let features = CardFeatures(decoder, plan: plan, rank: rank, storage: storage, profile: profile)
            weights = features.weights
            readPerToken = features.weights * decoder.activeShare
            cachePerToken = features.cachePerToken
            step = .coefficients(
                perToken: features.perToken(profile.coefficients), perPair: features.perPair(profile.coefficients),
                fixed: features.logits)
        }
    }

    /// Bytes of the cache for sequences of a length.
    public func cache(length: Int, batch: Int) -> Double {
        (Double(length) / cacheBlock).rounded(.up) * cacheBlock * Double(batch) * cachePerToken
    }

    /// Bytes of activations in the longest step.
    public func activations(length: Int, batch: Int) -> Double {
        let tokens = min(Double(profile.stepTokens ?? length), Double(length) * Double(batch))
        switch step {
        case .runtime(let share, let type, let quantizes):
            let shape = RunShape(
                tokensPerStep: max(Int(tokens), batch), logitRows: profile.logitRows, cacheBlockCount: 0,
                cacheBlockLength: profile.cacheBlock, cacheType: type, quantizesActivations: quantizes)
            return Double(share.stepBytes(shape).activations)
        case .coefficients(let perToken, let perPair, let fixed):
            return tokens * perToken + Double(length) * Double(length) * perPair + fixed
        }
    }

    /// All of it.
    public func total(length: Int, batch: Int) -> Double {
        weights + overhead + cache(length: length, batch: batch) + activations(length: length, batch: batch)
    }
}

extension DecoderConfiguration {
    /// The part of a layer's weights that a token meets.
    var activeShare: Double {
        guard
            layers.contains(where: {
                if case .experts = $0.feedForward { true } else { false }
            })
        else { return 1 }
        return Double(activeParameterCount) / Double(max(1, parameterCount))
    }
}

extension AttentionKind {
    /// Whether kernels made for the usual kinds of attention do not take it.
    var writesScores: Bool {
        switch self {
        case .groupedQuery(let attention): attention.hasLinearBias
        case .latent: true
        }
    }
}

/// What accounting by coefficients multiplies.
struct CardFeatures {
    var weights = 0.0
    var cachePerToken = 0.0
    /// The hidden size.
    var hidden = 0.0
    /// The widest layer's features between up and down on this card, of the experts that a token goes through.
    var intermediate = 0.0
    /// Heads on this card whose attention has no fused kernel.
    var unfusedHeads = 0.0
    /// Bytes of the logits.
    var logits = 0.0

    init(
        _ decoder: DecoderConfiguration, plan: ParallelPlan, rank: Int, storage: StorageChoice, profile: MemoryProfile
    ) {
        let placement = plan.placement(ofRank: rank, layerCount: decoder.layers.count)
        hidden = Double(decoder.hiddenSize)
        // Layers that are alike are counted once.
        var known: [LayerConfiguration: (weights: Double, cache: Double)] = [:]
        for index in placement.layers {
            let layer = decoder.layers[index]
            if known[layer] == nil {
                let heads = layer.attention.placement(in: placement.group, shard: placement.shard)
                let copies = if case .experts(let part) = layer.feedForward { part.activeCount } else { 1 }
                var (bytes, wide) = (0.0, 0.0)
                for parameter in decoder.parameters(of: layer, at: index) {
                    let share = decoder.share(of: parameter, at: placement)
                    bytes += storage.scheme.byteCount(parameter, share)
                    guard case .layer(_, let part) = parameter.name, parameter.role == .matrix else { continue }
                    switch part {
                    case .down, .sharedDown: wide += Double(share.columns.count)
                    case .expertDown: wide += Double(copies * share.columns.count)
                    default: break
                    }
                }
                intermediate = max(intermediate, wide)
                if layer.attention.writesScores {
                    unfusedHeads = max(unfusedHeads, Double(heads.queryHeads.count))
                }
                let numbers = layer.attention.cachedNumbers(
                    profile.latentCache, keyValueHeadCount: heads.keyValueHeads.count)
                known[layer] = (bytes, Double(numbers * storage.cacheType.byteCount))
            }
            weights += known[layer]?.weights ?? 0
            cachePerToken += known[layer]?.cache ?? 0
        }
        let unit = profile.vocabularyUnit * plan.tensorDegree
        let rows = Double((decoder.vocabularySize + unit - 1) / unit * profile.vocabularyUnit)
        if placement.isFirstStage {
            weights += 2 * rows * hidden
            let parts = decoder.companions.reduce(0.0) { $0 + Double($1.parameterCount) }
            weights += 2 * parts / Double(plan.tensorDegree)
        }
        if placement.isLastStage, !(decoder.tiesEmbeddings && placement.isFirstStage) { weights += 2 * rows * hidden }
        // In 16 bits on this card, and gathered in float32.
        logits = Double(profile.logitRows) * (2 * rows + 4 * Double(decoder.vocabularySize))
    }

    /// Bytes of activations for a token.
    func perToken(_ coefficients: MemoryProfile.Coefficients) -> Double {
        2
            * (coefficients.hidden.value * hidden + coefficients.intermediate.value * intermediate)
    }

    /// Bytes for a pair of positions.
    func perPair(_ coefficients: MemoryProfile.Coefficients) -> Double {
        coefficients.pairs.value + coefficients.scores.value * unfusedHeads
    }
}

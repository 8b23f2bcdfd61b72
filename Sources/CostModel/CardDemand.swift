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
    /// For each layer the first that is alike in shape and formats; empty: all may differ.
    public var layerClasses: [Int]

    public init(
        name: String, formats: @escaping @Sendable (Int) -> (ParameterName) -> ComputeFormat,
        scheme: StoredScheme = .all[0],
        cacheType: KeyValueType, quantizesActivations: Bool, layerClasses: [Int] = []
    ) {
        self.name = name
        self.formats = formats
        self.scheme = scheme
        self.cacheType = cacheType
        self.quantizesActivations = quantizesActivations
        self.layerClasses = layerClasses
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
    private let step: Step
    private let load: RankLoad
    private let cacheBlock: Double
    private let stepTokens: Int?
    private let logitRows: Int

    private enum Step: Sendable {
        case runtime(KeyValueType, quantizesActivations: Bool)
        case coefficients(perToken: Double, perPair: Double, fixed: Double)
    }

    /// Adds up what `rank` takes.
    public init(
        _ decoder: DecoderConfiguration, plan: ParallelPlan, rank: Int, storage: StorageChoice, profile: MemoryProfile
    ) {
        let placement = plan.placement(ofRank: rank, layerCount: decoder.layers.count)
        let sizes = LayerSizes(decoder, storage: storage, profile: profile)
        self.init(
            placement.layers.map { (sizes.load(of: $0, at: placement), 1) }, of: decoder, at: placement, rank: rank,
            storage: storage, profile: profile)
    }

    /// Adds up layers that are known.
    init(
        _ loads: [(load: LayerLoad, count: Int)], of decoder: DecoderConfiguration, at placement: Placement, rank: Int,
        storage: StorageChoice, profile: MemoryProfile
    ) {
        let load =
            switch profile.accounting {
            case .runtime:
                RankLoad(
                    packed: loads, of: decoder, at: placement, rank: rank,
                    headFormat: storage.formats(placement.group.count)(.head))
            case .coefficients:
                RankLoad(
                    stored: loads, of: decoder, at: placement, rank: rank, vocabularyUnit: profile.vocabularyUnit)
            }
        cacheBlock = Double(profile.cacheBlock)
        stepTokens = profile.stepTokens
        logitRows = profile.logitRows
        overhead = profile.coefficients.overhead.value
        self.load = load
        weights = load.weights
        cachePerToken = load.cachePerToken
        step =
            switch profile.accounting {
            case .runtime:
                .runtime(storage.cacheType, quantizesActivations: storage.quantizesActivations)
            case .coefficients:
                .coefficients(
                    perToken: load.perToken(profile.coefficients), perPair: load.perPair(profile.coefficients),
                    fixed: load.logits(rows: profile.logitRows))
            }
    }

    /// Bytes that a token of one sequence reads at a position.
    public func readBytes(length: Int) -> Double { load.readBytes(length: length) }

    /// Bytes of the cache for sequences of a length.
    public func cache(length: Int, batch: Int) -> Double {
        (Double(length) / cacheBlock).rounded(.up) * cacheBlock * Double(batch) * cachePerToken
    }

    /// Bytes of activations in the longest step.
    public func activations(length: Int, batch: Int) -> Double {
        let tokens = min(Double(stepTokens ?? length), Double(length) * Double(batch))
        switch step {
        case .runtime(let type, let quantizes):
            let shape = RunShape(
                tokensPerStep: max(Int(tokens), batch), logitRows: logitRows, cacheBlockCount: 0,
                cacheBlockLength: 1, cacheType: type, quantizesActivations: quantizes)
            return Double(load.stepBytes(shape).activations)
        case .coefficients(let perToken, let perPair, let fixed):
            return tokens * perToken + Double(length) * Double(length) * perPair + fixed
        }
    }

    /// All of it.
    public func total(length: Int, batch: Int) -> Double {
        weights + overhead + cache(length: length, batch: batch) + activations(length: length, batch: batch)
    }
}

/// What layers take on a shard; those that are alike are counted once.
final class LayerSizes {
    private let decoder: DecoderConfiguration
    private let storage: StorageChoice
    private let profile: MemoryProfile
    private var known: [Key: LayerLoad] = [:]

    private struct Key: Hashable {
        var layerClass: Int
        var shard: Int
        var degree: Int
        var weights: [Double]?
    }

    init(_ decoder: DecoderConfiguration, storage: StorageChoice, profile: MemoryProfile) {
        self.decoder = decoder
        self.storage = storage
        self.profile = profile
    }

    func load(of layer: Int, at placement: Placement) -> LayerLoad {
        let representative = storage.layerClasses.isEmpty ? layer : storage.layerClasses[layer]
        let key = Key(
            layerClass: representative, shard: placement.shard, degree: placement.group.count,
            weights: placement.group.weights)
        if let load = known[key] { return load }
        let load =
            switch profile.accounting {
            case .runtime:
                LayerLoad.packed(
                    representative, of: decoder, at: placement, cacheType: storage.cacheType,
                    format: storage.formats(placement.group.count))
            case .coefficients:
                LayerLoad.stored(
                    representative, of: decoder, at: placement, storage: storage, latentCache: profile.latentCache)
            }
        known[key] = load
        return load
    }
}

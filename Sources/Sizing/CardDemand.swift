import Architectures
import MemoryPlan
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
    public let overhead: Double
    private let load: Load
    private let profile: MemoryProfile
    private let quantizesActivations: Bool

    private enum Load: Sendable {
        case runtime(RankFootprint)
        case stored(StoredLoad)
    }

    /// Adds up what `rank` takes.
    public init(
        _ decoder: DecoderConfiguration, plan: ParallelPlan, rank: Int, storage: StorageChoice, profile: MemoryProfile
    ) {
        let placement = plan.placement(ofRank: rank, layerCount: decoder.layers.count)
        self.init(
            placement.layers.map { ($0, 1) }, of: decoder, at: placement, rank: rank,
            sizes: LayerSizes(decoder, storage: storage, profile: profile))
    }

    /// Adds up layers, and how many there are of each.
    init(
        _ layers: [(layer: Int, count: Int)], of decoder: DecoderConfiguration, at placement: Placement, rank: Int,
        sizes: LayerSizes
    ) {
        profile = sizes.profile
        quantizesActivations = sizes.storage.quantizesActivations
        overhead = profile.coefficients.overhead.value
        switch profile.accounting {
        case .runtime:
            load = .runtime(
                RankFootprint(
                    layers.map { (sizes.packed($0.layer, at: placement), $0.count) }, of: decoder, at: placement,
                    rank: rank, headFormat: sizes.storage.formats(placement.group.count)(.head)))
        case .coefficients:
            load = .stored(
                StoredLoad(
                    layers.map { (sizes.stored($0.layer, at: placement), $0.count) }, of: decoder, at: placement,
                    vocabularyUnit: profile.vocabularyUnit))
        }
    }

    public var weights: Double {
        switch load {
        case .runtime(let memory): memory.weights
        case .stored(let load): load.weights
        }
    }

    /// Bytes that this card keeps of a token.
    public var cachePerToken: Double {
        switch load {
        case .runtime(let memory): memory.cachePerToken
        case .stored(let load): load.cachePerToken
        }
    }

    /// Bytes that a token of one sequence reads at a position.
    public func readBytes(length: Int) -> Double {
        switch load {
        case .runtime(let memory): memory.readBytes(length: length)
        case .stored(let load): load.readBytes(length: length)
        }
    }

    /// Bytes of the cache for sequences of a length.
    public func cache(length: Int, batch: Int) -> Double {
        let block = Double(profile.cacheBlock)
        return (Double(length) / block).rounded(.up) * block * Double(batch) * cachePerToken
    }

    /// Bytes of activations in the longest step.
    public func activations(length: Int, batch: Int) -> Double {
        let tokens = min(Double(profile.stepTokens ?? length), Double(length) * Double(batch))
        switch load {
        case .runtime(let memory):
            // Whether kernels round is not known of the machine that is planned for.
            let step = StepShape(
                tokenCount: max(Int(tokens), batch), logitRows: profile.logitRows,
                quantizesActivations: quantizesActivations, roundsInputs: true)
            return Double(memory.stepBytes(step).activations)
        case .stored(let load):
            return tokens * load.perToken(profile.coefficients)
                + Double(length) * Double(length) * load.perPair(profile.coefficients)
                + load.logits(rows: profile.logitRows)
        }
    }

    /// All of it.
    public func total(length: Int, batch: Int) -> Double {
        weights + overhead + cache(length: length, batch: batch) + activations(length: length, batch: batch)
    }
}

/// What layers take on a shard; those that are alike are counted once.
final class LayerSizes {
    let storage: StorageChoice
    let profile: MemoryProfile
    private let decoder: DecoderConfiguration
    private var packed: [Key: LayerFootprint] = [:]
    private var stored: [Key: StoredLayer] = [:]

    private struct Key: Hashable {
        var layer: Int
        var shard: Int
        var degree: Int
        var weights: [Double]?
    }

    init(_ decoder: DecoderConfiguration, storage: StorageChoice, profile: MemoryProfile) {
        self.decoder = decoder
        self.storage = storage
        self.profile = profile
    }

    /// As this runtime packs it.
    func packed(_ layer: Int, at placement: Placement) -> LayerFootprint {
        let key = key(layer, placement)
        if let known = packed[key] { return known }
        let found = LayerFootprint(
            key.layer, of: decoder, at: placement, cacheType: storage.cacheType,
            format: storage.formats(placement.group.count))
        packed[key] = found
        return found
    }

    /// As checkpoints store it.
    func stored(_ layer: Int, at placement: Placement) -> StoredLayer {
        let key = key(layer, placement)
        if let known = stored[key] { return known }
        let found = StoredLayer(
            key.layer, of: decoder, at: placement, storage: storage, latentCache: profile.latentCache)
        stored[key] = found
        return found
    }

    private func key(_ layer: Int, _ placement: Placement) -> Key {
        Key(
            layer: storage.layerClasses.isEmpty ? layer : storage.layerClasses[layer], shard: placement.shard,
            degree: placement.group.count, weights: placement.group.weights)
    }
}

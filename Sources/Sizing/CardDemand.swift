import Architectures
import MemoryPlan
import Tensors
import Topology

/// How the weights and the cache of a model are stored.
public struct StorageChoice: Sendable {
    /// The name of the weights' scheme, for display.
    public var name: String
    /// The format of each matrix at a tensor degree, which the accounting of this runtime uses.
    public var formats: @Sendable (_ shardCount: Int) -> (ParameterName) -> ComputeFormat
    /// The stored scheme, which the accounting by coefficients uses.
    public var scheme: StoredScheme
    public var cacheType: KeyValueType
    public var quantizesActivations: Bool
    /// For each layer, the first layer with the same shape and formats; empty: all layers may differ.
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

/// The memory that one card needs for a model under a profile, for any length and number of sequences.
///
/// Byte counts are floating-point numbers, because absurd models exceed integers. Below 2⁵³ they are exact.
public struct CardDemand: Sendable {
    public let overhead: Double
    private let load: Load
    private let profile: MemoryProfile
    private let quantizesActivations: Bool

    private enum Load: Sendable {
        case runtime(RankFootprint)
        case stored(StoredLoad)
    }

    /// Adds up the memory of `rank`.
    public init(
        _ decoder: DecoderConfiguration, plan: ParallelPlan, rank: Int, storage: StorageChoice, profile: MemoryProfile
    ) {
        let placement = plan.placement(ofRank: rank, layerCount: decoder.layers.count)
        self.init(
            placement.layers.map { ($0, 1) }, of: decoder, at: placement, rank: rank,
            sizes: LayerSizes(decoder, storage: storage, profile: profile))
    }

    /// Adds up the given layers, each multiplied by its count.
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
                    rank: rank, formats: OuterFormats(sizes.storage.formats(placement.group.count))))
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

    /// Bytes of cache per token on this card.
    public var cachePerToken: Double {
        switch load {
        case .runtime(let memory): memory.cachePerToken
        case .stored(let load): load.cachePerToken
        }
    }

    /// Bytes that one token reads after `length` positions.
    public func readBytes(length: Int) -> Double {
        switch load {
        case .runtime(let memory): memory.readBytes(length: length)
        case .stored(let load): load.readBytes(length: length)
        }
    }

    /// Bytes of the cache for `batch` sequences of a length.
    public func cache(length: Int, batch: Int) -> Double {
        let block = Double(profile.cacheBlock)
        return (Double(length) / block).rounded(.up) * block * Double(batch) * cachePerToken
    }

    /// Bytes of activations in the longest step.
    public func activations(length: Int, batch: Int) -> Double {
        let tokens = min(Double(profile.stepTokens ?? length), Double(length) * Double(batch))
        switch load {
        case .runtime(let memory):
            // Whether the target machine's kernels round inputs is unknown, so the larger size is assumed.
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

    /// Total bytes of the card.
    public func total(length: Int, batch: Int) -> Double {
        weights + overhead + cache(length: length, batch: batch) + activations(length: length, batch: batch)
    }
}

/// The memory of layers on a shard, computed once for layers that are the same.
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

    /// The footprint of a layer as this runtime packs it.
    func packed(_ layer: Int, at placement: Placement) -> LayerFootprint {
        let key = key(layer, placement)
        if let known = packed[key] { return known }
        let found = LayerFootprint(
            key.layer, of: decoder, at: placement, cacheType: storage.cacheType,
            format: storage.formats(placement.group.count))
        packed[key] = found
        return found
    }

    /// The footprint of a layer as checkpoints store it.
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

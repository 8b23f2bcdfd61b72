import Architectures
import Tensors
import Topology

/// What one rank of this runtime takes of memory, from the inventories alone: no weights are read.
public struct RankFootprint: Sendable {
    /// Bytes of code, MPI, page tables and the loader's buffers (measured: the profile `trireme` of `sizing`).
    public static let overhead = 50_331_648

    /// Bytes of weights.
    public let weights: Double
    /// Bytes that the cache keeps of a token.
    public let cachePerToken: Double
    /// Bytes of the weights that a token reads.
    private let activeWeights: Double
    /// Bytes of cache for each position that a token sees, by the windows of layers; 0: without one.
    private let cacheByWindow: [Int: Double]
    /// What different layers take of the arena.
    private let layerActivations: [ActivationInventory]
    /// What the head, and bringing logits together, take of it; nil: nothing.
    private let headActivations: ActivationInventory?
    private let decoder: DecoderConfiguration
    private let isFirstRank: Bool

    /// Adds up what `rank` allocates.
    ///
    /// - Parameter format: how the matrix of a parameter is packed.
    public init(
        _ decoder: DecoderConfiguration, plan: ParallelPlan, rank: Int, cacheType: KeyValueType,
        format: (ParameterName) -> ComputeFormat
    ) {
        let placement = plan.placement(ofRank: rank, layerCount: decoder.layers.count)
        let layers = placement.layers.map {
            (LayerFootprint($0, of: decoder, at: placement, cacheType: cacheType, format: format), 1)
        }
        self.init(layers, of: decoder, at: placement, rank: rank, headFormat: format(.head))
    }

    /// Adds up layers that are known, and how many there are of each.
    public init(
        _ layers: [(layer: LayerFootprint, count: Int)], of decoder: DecoderConfiguration, at placement: Placement,
        rank: Int, headFormat: ComputeFormat
    ) {
        self.decoder = decoder
        isFirstRank = rank == 0
        var weights = 0.0
        var activeWeights = 0.0
        var cache: [Int: Double] = [:]
        var activations: [ActivationInventory] = []
        for (layer, count) in layers {
            weights += layer.weights * Double(count)
            activeWeights += layer.activeWeights * Double(count)
            cache[layer.window ?? 0, default: 0] += layer.cachePerToken * Double(count)
            if activations.last != layer.activations { activations.append(layer.activations) }
        }
        cacheByWindow = cache
        cachePerToken = cache.values.reduce(0, +)
        layerActivations = activations
        // The tables of the first stage stay in their files; of parts beside the decoder, an even share is counted in 16 bits.
        if placement.isFirstStage {
            weights += decoder.companions.reduce(0) {
                $0 + 2 * (Double($1.parameterCount) / Double(placement.group.count)).rounded(.up)
            }
        }
        if placement.isLastStage {
            let hidden = decoder.hiddenSize
            let rows = placement.group.shares(of: decoder.vocabularySize)[placement.shard].count
            headActivations = decoder.headActivations(headRows: rows, isGathered: isFirstRank, headFormat: headFormat)
            let vectors = decoder.parameters(ofStageAt: placement).filter {
                ($0.name == .finalNorm || $0.name == .head) && $0.role != .matrix
            }
            let end =
                vectors.reduce(0) { $0 + decoder.share(of: $1, at: placement).count } * MemoryLayout<Float>.size
                + headFormat.byteCount(rows: rows, ContractionLayout(length: hidden), columns: 0..<hidden)
            weights += Double(end)
            activeWeights += Double(end)
        } else {
            headActivations = isFirstRank ? decoder.gatheredLogits() : nil
        }
        self.weights = weights
        self.activeWeights = activeWeights
    }

    /// Bytes of a step's arena, and those with rank 0's rows of logits.
    public func stepBytes(_ step: StepShape) -> (arena: Int, activations: Int) {
        let layers = layerActivations.map { $0.byteCount(rows: step.tokenCount, step) }
        let head = headActivations?.byteCount(rows: step.logitRows, step) ?? 0
        let arena = decoder.streamByteCount(step) + max(layers.max() ?? 0, head)
        let logits = isFirstRank ? step.logitRows * decoder.vocabularySize * MemoryLayout<Float>.size : 0
        return (arena, arena + logits)
    }

    /// Bytes that a token of one sequence reads at a position: weights that it meets, and the cache that it sees.
    public func readBytes(length: Int) -> Double {
        cacheByWindow.reduce(activeWeights) { sum, layers in
            sum + layers.value * Double(layers.key > 0 ? min(layers.key, length) : length)
        }
    }
}

/// The longest length up to a limit that fits, in whole units unless it is the limit; nil: not even one unit.
public func longestLength(unit: Int, limit: Int, fits: (Int) -> Bool) -> Int? {
    var (low, high) = (0, (limit + unit - 1) / unit)
    while low < high {
        let middle = (low + high + 1) / 2
        if fits(min(middle * unit, limit)) { low = middle } else { high = middle - 1 }
    }
    return low == 0 ? nil : min(low * unit, limit)
}

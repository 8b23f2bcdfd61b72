import Architectures
import Tensors
import Topology

/// The memory that one rank of this runtime needs, computed from the inventories without reading weights.
public struct RankFootprint: Sendable {
    /// Bytes of code, MPI, page tables and the loader's buffers, as measured for the profile `trireme` of `sizing`.
    public static let overhead = 50_331_648

    /// Bytes of weights.
    public let weights: Double
    /// Bytes of cache per token.
    public let cachePerToken: Double
    /// Bytes of the weights that a token reads.
    private let activeWeights: Double
    /// Bytes of cache per position, by the attention window of the layers; the key 0 stands for no window.
    private let cacheByWindow: [Int: Double]
    /// The activations of the layers, without repetitions of equal neighbours.
    private let layerActivations: [ActivationInventory]
    /// The activations of the head and of gathering logits; nil: the rank has neither.
    private let headActivations: ActivationInventory?
    private let decoder: DecoderConfiguration
    private let isFirstRank: Bool

    /// Adds up what `rank` allocates.
    ///
    /// - Parameter format: the packed format of a parameter's matrix.
    public init(
        _ decoder: DecoderConfiguration, plan: ParallelPlan, rank: Int, cacheType: KeyValueType,
        format: (ParameterName) -> ComputeFormat
    ) {
        let placement = plan.placement(ofRank: rank, layerCount: decoder.layers.count)
        let layers = placement.layers.map {
            (LayerFootprint($0, of: decoder, at: placement, cacheType: cacheType, format: format), 1)
        }
        self.init(layers, of: decoder, at: placement, rank: rank, formats: OuterFormats(format))
    }

    /// Adds up the given layers, each multiplied by its count.
    public init(
        _ layers: [(layer: LayerFootprint, count: Int)], of decoder: DecoderConfiguration, at placement: Placement,
        rank: Int, formats: OuterFormats
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
        if placement.isFirstStage { activations.append(decoder.entranceActivations(formats: formats)) }
        layerActivations = activations
        /// The bytes of a matrix outside the layers, all of whose columns this rank holds.
        func matrix(_ rows: Int, _ columns: Int, _ format: ComputeFormat) -> Int {
            format.byteCount(rows: rows, ContractionLayout(length: columns), columns: 0..<columns)
        }
        /// The bytes of vectors outside the layers, which are float32.
        func vectors(_ names: Set<ParameterName>) -> Int {
            decoder.parameters(ofStageAt: placement).reduce(0) {
                guard names.contains($1.name), $1.role != .matrix, $1.role != .table else { return $0 }
                return $0 + decoder.share(of: $1, at: placement).count * MemoryLayout<Float>.size
            }
        }
        // The first stage reads its tables from the files. Companions count with an even share, 16 bits a parameter.
        if placement.isFirstStage {
            weights += Double(vectors([.embeddingNorm]))
            if let width = decoder.embedding.width {
                weights += Double(matrix(decoder.hiddenSize, width, formats.embeddingProjection))
            }
            weights += decoder.companions.reduce(0) {
                $0 + 2 * (Double($1.parameterCount) / Double(placement.group.count)).rounded(.up)
            }
        }
        if placement.isLastStage {
            let rows = placement.group.shares(of: decoder.vocabularySize)[placement.shard].count
            headActivations = decoder.headActivations(headRows: rows, isGathered: isFirstRank, formats: formats)
            let end =
                vectors([.finalNorm, .head]) + matrix(rows, decoder.embeddingWidth, formats.head)
                + (decoder.embedding.width.map { matrix($0, decoder.hiddenSize, formats.headProjection) } ?? 0)
            weights += Double(end)
            activeWeights += Double(end)
        } else {
            headActivations = isFirstRank ? decoder.gatheredLogits() : nil
        }
        self.weights = weights
        self.activeWeights = activeWeights
    }

    /// Bytes of a step's arena, and of its activations, which are the arena plus, on rank 0, the rows of logits.
    public func stepBytes(_ step: StepShape) -> (arena: Int, activations: Int) {
        let layers = layerActivations.map { $0.byteCount(rows: step.tokenCount, step) }
        let head = headActivations?.byteCount(rows: step.logitRows, step) ?? 0
        let arena = decoder.streamByteCount(step) + max(layers.max() ?? 0, head)
        let logits = isFirstRank ? step.logitRows * decoder.vocabularySize * MemoryLayout<Float>.size : 0
        return (arena, arena + logits)
    }

    /// Bytes that one token reads after `length` positions: the weights that it uses and the cache that it attends to.
    public func readBytes(length: Int) -> Double {
        cacheByWindow.reduce(activeWeights) { sum, layers in
            sum + layers.value * Double(layers.key > 0 ? min(layers.key, length) : length)
        }
    }
}

/// The longest length that fits: a multiple of `unit`, or `limit` itself; nil if not even one unit fits.
public func longestLength(unit: Int, limit: Int, fits: (Int) -> Bool) -> Int? {
    var (low, high) = (0, (limit + unit - 1) / unit)
    while low < high {
        let middle = (low + high + 1) / 2
        if fits(min(middle * unit, limit)) { low = middle } else { high = middle - 1 }
    }
    return low == 0 ? nil : min(low * unit, limit)
}

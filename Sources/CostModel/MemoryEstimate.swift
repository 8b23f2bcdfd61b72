import Architectures
import Tensors
import Topology

/// What a run is planned for, as far as memory goes.
public struct RunShape: Equatable, Sendable {
    /// Tokens in one step.
    public var tokensPerStep: Int
    /// Rows of logits at a time.
    public var logitRows: Int
    /// Blocks of the key-value cache, and positions in each.
    public var cacheBlockCount: Int
    public var cacheBlockLength: Int
    public var cacheType: KeyValueType
    public var quantizesActivations: Bool

    public init(
        tokensPerStep: Int, logitRows: Int, cacheBlockCount: Int, cacheBlockLength: Int, cacheType: KeyValueType,
        quantizesActivations: Bool
    ) {
        self.tokensPerStep = tokensPerStep
        self.logitRows = logitRows
        self.cacheBlockCount = cacheBlockCount
        self.cacheBlockLength = cacheBlockLength
        self.cacheType = cacheType
        self.quantizesActivations = quantizesActivations
    }
}

/// Bytes that one rank takes, from the inventory alone: no weights are read.
public struct MemoryEstimate: Equatable, Sendable {
    public var weights = 0
    public var keyValueCache = 0
    /// The step's arena, and rank 0's rows of logits.
    public var activations = 0
    /// The arena's part of `activations`.
    public var arena = 0

    /// All of it.
    public var total: Int { weights + keyValueCache + activations }

    /// Adds up what `rank` allocates.
    ///
    /// - Parameter format: how the matrix of a parameter is packed.
    public init(
        _ decoder: DecoderConfiguration, plan: ParallelPlan, rank: Int, shape: RunShape,
        format: (ParameterName) -> ComputeFormat
    ) {
        let placement = plan.placement(ofRank: rank, layerCount: decoder.layers.count)
        let loads = placement.layers.map {
            (LayerLoad.packed($0, of: decoder, at: placement, cacheType: shape.cacheType, format: format), 1)
        }
        let rankLoad = RankLoad(packed: loads, of: decoder, at: placement, rank: rank, headFormat: format(.head))
        weights = Int(rankLoad.weights)
        keyValueCache = shape.cacheBlockCount * shape.cacheBlockLength * Int(rankLoad.cachePerToken)
        (arena, activations) = rankLoad.stepBytes(shape)
    }
}

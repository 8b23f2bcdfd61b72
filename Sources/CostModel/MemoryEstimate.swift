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
        var widest = 0
        for layer in placement.layers {
            let share = LayerShare(decoder.layers[layer], placement)
            weights += share.weightBytes(layer, decoder: decoder, format: format)
            let rows = shape.cacheBlockCount * shape.cacheBlockLength * share.heads.keyValueHeads.count
            let bytes = shape.cacheType.byteCount(headDimension: share.dimension)
            keyValueCache += rows * (bytes.key + bytes.value + bytes.scales)
            widest = max(widest, share.arenaBytes(decoder: decoder, shape: shape))
        }
        let pairs = decoder.layers[0].attention.headDimension / 2
        let tokens = shape.tokensPerStep
        arena = 2 * Arena.roundedUp(tokens * pairs * 4) + 2 * Arena.roundedUp(tokens * decoder.hiddenSize * 4) + widest
        let shares = plan.shardGroup(ofStage: plan.pipelineDegree - 1).shares(of: decoder.vocabularySize)
        var logitsArena = 0
        if placement.isLastStage {
            let rows = shares[placement.shard].count
            weights += decoder.hiddenSize * 4
            let format = format(.head)
            weights +=
                format.byteCount(
                    rows: rows, columns: decoder.hiddenSize,
                    block: ContractionLayout(length: decoder.hiddenSize).inputBlock(group: format.groups?.size) ?? 1
                ).total
            logitsArena +=
                2 * Arena.roundedUp(shape.logitRows * decoder.hiddenSize * 4)
                + Arena.roundedUp(shape.logitRows * rows * 4)
                + codesBytes(tokens: shape.logitRows, columns: decoder.hiddenSize, shape)
        }
        if rank == 0 {
            activations += shape.logitRows * decoder.vocabularySize * 4
            logitsArena += Arena.roundedUp(shape.logitRows * decoder.vocabularySize * 4)
        }
        arena = arena - widest + max(widest, logitsArena)
        activations += arena
    }
}

/// Bytes of blocked activations: codes, and a scale and a sum for each block, of 4 columns at the least.
///
/// Rounded ones take less.
private func codesBytes(tokens: Int, columns: Int, _ shape: RunShape) -> Int {
    guard shape.quantizesActivations else { return 0 }
    let padded = (columns + 31) / 32 * 32
    let padding = BlockedActivations.padding
    return Arena.roundedUp(tokens * padded + padding.elements) + Arena.roundedUp(tokens * padded + padding.scales)
        + Arena.roundedUp(tokens * padded)
}

/// One rank's share of a layer.
private struct LayerShare {
    let heads: HeadPlacement
    let dimension: Int
    let columns: Range<Int>
    let layer: LayerConfiguration
    let group: ShardGroup

    init(_ layer: LayerConfiguration, _ placement: Placement) {
        self.layer = layer
        group = placement.group
        heads = HeadPlacement(
            queryHeadCount: layer.attention.queryHeadCount, keyValueHeadCount: layer.attention.keyValueHeadCount,
            group: placement.group, shard: placement.shard)
        dimension = layer.attention.headDimension
        let contraction = layer.feedForward.contraction(shardCount: group.count)
        columns = group.shares(of: contraction.length, unit: contraction.unit)[placement.shard]
    }

    var queryColumns: Range<Int> { heads.queryHeads.lowerBound * dimension..<heads.queryHeads.upperBound * dimension }
    var projectionRows: Int { queryColumns.count + 2 * heads.keyValueHeads.count * dimension }

    func weightBytes(_ index: Int, decoder: DecoderConfiguration, format: (ParameterName) -> ComputeFormat) -> Int {
        let hidden = decoder.hiddenSize
        var bytes = 2 * hidden * 4
        let projections: [(ParameterName, Int)] = [
            (.query(layer: index), queryColumns.count), (.key(layer: index), heads.keyValueHeads.count * dimension),
            (.value(layer: index), heads.keyValueHeads.count * dimension),
        ]
        bytes += stacked(projections, columns: hidden, format: format)
        bytes += stacked(
            [(.gate(layer: index), columns.count), (.up(layer: index), columns.count)], columns: hidden, format: format)
        for (name, range, layout) in [
            (ParameterName.attentionOutput(layer: index), queryColumns, layer.attention.outputContraction),
            (.down(layer: index), columns, layer.feedForward.contraction(shardCount: group.count)),
        ] {
            let format = format(name)
            bytes +=
                format.byteCount(
                    rows: hidden, columns: range.count,
                    block: layout.inputBlock(group: format.groups?.size) ?? 1,
                    groupOffset: format.groups.map { range.lowerBound % $0.size } ?? 0
                ).total
        }
        if layer.attention.hasInputBias { bytes += projectionRows * 4 }
        if layer.attention.hasOutputBias { bytes += hidden * 4 }
        if layer.feedForward.hasBias { bytes += (2 * columns.count + hidden) * 4 }
        return bytes
    }

    /// Matrices stacked by rows: runs of one format share panels.
    private func stacked(_ parts: [(ParameterName, Int)], columns: Int, format: (ParameterName) -> ComputeFormat) -> Int
    {
        var bytes = 0
        var index = 0
        while index < parts.count {
            let first = format(parts[index].0)
            let run = parts[index...].prefix { format($0.0) == first }
            bytes +=
                first.byteCount(
                    rows: run.reduce(0) { $0 + $1.1 }, columns: columns,
                    block: ContractionLayout(length: columns).inputBlock(group: first.groups?.size) ?? 1
                ).total
            index += run.count
        }
        return bytes
    }

    /// The larger of what attention and feed-forward take of the arena at once.
    func arenaBytes(decoder: DecoderConfiguration, shape: RunShape) -> Int {
        let tokens = shape.tokensPerStep
        func floats(_ columns: Int) -> Int { Arena.roundedUp(tokens * columns * 4) }
        let hidden = decoder.hiddenSize
        let attention =
            floats(hidden) + floats(projectionRows) + floats(queryColumns.count)
            + max(
                codesBytes(tokens: tokens, columns: hidden, shape),
                codesBytes(tokens: tokens, columns: queryColumns.count, shape))
        let feedForward =
            floats(hidden) + floats(2 * columns.count) + floats(columns.count)
            + max(
                codesBytes(tokens: tokens, columns: hidden, shape),
                codesBytes(tokens: tokens, columns: columns.count, shape))
        return max(attention, feedForward)
    }
}

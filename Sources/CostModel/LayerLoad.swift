import Architectures
import Tensors
import Topology

/// What one layer takes on one shard, whatever the run.
struct LayerLoad: Equatable, Sendable {
    /// Bytes of weights.
    var weights = 0.0
    /// Bytes of the weights that a token meets: of experts those that it goes through.
    var activeWeights = 0.0
    /// Bytes that the cache keeps of a token.
    var cachePerToken = 0.0
    /// Positions that a token sees; nil: all before it.
    var window: Int?
    /// Of this runtime's accounting.
    var widths = LayerWidths()
    /// Of accounting by coefficients: features between up and down, of the experts that a token goes through.
    var intermediate = 0.0
    /// Heads whose attention the runtime has no fused kernel for.
    var unfusedHeads = 0.0

    /// As this runtime packs it.
    ///
    /// - Parameters:
    ///   - index: the layer's number.
    ///   - format: how the matrix of a parameter is packed.
    static func packed(
        _ index: Int, of decoder: DecoderConfiguration, at placement: Placement, cacheType: KeyValueType,
        format: (ParameterName) -> ComputeFormat
    ) -> LayerLoad {
        let layer = decoder.layers[index]
        let shares = decoder.parameters(of: layer, at: index).map { ($0, decoder.share(of: $0, at: placement)) }
        var load = LayerLoad()
        load.weights = Double(packedByteCount(shares, of: decoder, at: placement, format: format))
        let idle = shares.filter { $0.1.copies > 1 }
        let experts = Double(packedByteCount(idle, of: decoder, at: placement, format: format))
        load.activeWeights = load.weights - experts * (1 - layer.feedForward.activeShare)
        load.window = layer.attention.window
        load.widths = LayerWidths(layer, shares)
        switch layer.attention {
        case .groupedQuery(let attention):
            let heads = layer.attention.placement(in: placement.group, shard: placement.shard).keyValueHeads.count
            let bytes = cacheType.byteCount(headDimension: attention.headDimension)
            load.cachePerToken = Double(heads * (bytes.key + bytes.value + bytes.scales))
        case .latent(let attention):
            let bytes = cacheType.byteCount(headDimension: attention.cachedDimension)
            load.cachePerToken = Double(bytes.key + bytes.scales)
        }
        return load
    }

    /// As checkpoints store it, with what coefficients multiply.
    static func stored(
        _ index: Int, of decoder: DecoderConfiguration, at placement: Placement, storage: StorageChoice,
        latentCache: LatentCacheForm
    ) -> LayerLoad {
        let layer = decoder.layers[index]
        let heads = layer.attention.placement(in: placement.group, shard: placement.shard)
        let copies = if case .experts(let part) = layer.feedForward { part.activeCount } else { 1 }
        var load = LayerLoad()
        for parameter in decoder.parameters(of: layer, at: index) {
            let share = decoder.share(of: parameter, at: placement)
            let bytes = storage.scheme.byteCount(parameter, share)
            load.weights += bytes
            load.activeWeights += bytes * (share.copies > 1 ? layer.feedForward.activeShare : 1)
            guard case .layer(_, let part) = parameter.name, parameter.role == .matrix else { continue }
            switch part {
            case .down, .sharedDown: load.intermediate += Double(share.columns.count)
            case .expertDown: load.intermediate += Double(copies * share.columns.count)
            default: break
            }
        }
        load.window = layer.attention.window
        if layer.attention.writesScores { load.unfusedHeads = Double(heads.queryHeads.count) }
        load.cachePerToken = Double(
            layer.attention.cachedNumbers(latentCache, keyValueHeadCount: heads.keyValueHeads.count)
                * storage.cacheType.byteCount)
        return load
    }

    /// Packed matrices, biases and norms.
    ///
    /// Neighbouring matrices of one format that read the same input share panels, as the loader stacks them.
    private static func packedByteCount(
        _ shares: [(Parameter, ParameterShare)], of decoder: DecoderConfiguration, at placement: Placement,
        format: (ParameterName) -> ComputeFormat
    ) -> Int {
        var bytes = 0
        var stack: (format: ComputeFormat, columns: Int, rows: Int)?
        func flush() {
            guard let full = stack else { return }
            bytes += full.format.byteCount(
                rows: full.rows, ContractionLayout(length: full.columns), columns: 0..<full.columns)
            stack = nil
        }
        for (parameter, share) in shares {
            guard parameter.role == .matrix else {
                bytes += share.count * MemoryLayout<Float>.size
                continue
            }
            let format = format(parameter.name)
            if parameter.sharding == .row || share.copies > 1 {
                flush()
                let layout = decoder.contraction(of: parameter, shardCount: placement.group.count)
                bytes += share.copies * format.byteCount(rows: share.rows.count, layout, columns: share.columns)
            } else if let open = stack, open.format == format, open.columns == share.columns.count {
                stack?.rows += share.rows.count
            } else {
                flush()
                stack = (format, share.columns.count, share.rows.count)
            }
        }
        flush()
        return bytes
    }
}

extension ComputeFormat {
    /// Bytes of a packed share of a matrix whose input is cut in this way.
    func byteCount(rows: Int, _ layout: ContractionLayout, columns: Range<Int>) -> Int {
        byteCount(
            rows: rows, columns: columns.count, block: layout.inputBlock(group: groups?.size) ?? 1,
            groupOffset: groups.map { columns.lowerBound % $0.size } ?? 0
        ).total
    }
}

extension FeedForwardKind {
    /// The share of experts that a token goes through.
    fileprivate var activeShare: Double {
        if case .experts(let part) = self { Double(part.activeCount) / Double(part.expertCount) } else { 1 }
    }
}

extension AttentionKind {
    /// Whether kernels made for the usual kinds of attention do not take it.
    fileprivate var writesScores: Bool {
        switch self {
        case .groupedQuery(let attention): attention.hasLinearBias
        case .latent: true
        }
    }
}

/// How wide one rank's activations are in a layer.
struct LayerWidths: Hashable, Sendable {
    /// Query, key and value.
    var projections = 0
    /// What the output projection reads.
    var attended = 0
    /// Gate and up together.
    var wide = 0
    /// What the down projection reads.
    var narrow = 0

    init() {}

    fileprivate init(_ layer: LayerConfiguration, _ shares: [(Parameter, ParameterShare)]) {
        // Experts: those that a token goes through.
        let copies = if case .experts(let experts) = layer.feedForward { experts.activeCount } else { 1 }
        for (parameter, share) in shares where parameter.role == .matrix {
            guard case .layer(_, let part) = parameter.name else { continue }
            switch part {
            case .attentionOutput: attended += share.columns.count
            case .gate, .up, .sharedGate, .sharedUp: wide += share.rows.count
            case .expertGate, .expertUp: wide += copies * share.rows.count
            case .down, .sharedDown: narrow += share.columns.count
            case .expertDown: narrow += copies * share.columns.count
            case .router, .sharedScale: break
            default: projections += share.rows.count
            }
        }
    }

    /// The larger of what attention and feed-forward take of the arena at once.
    func arenaBytes(hidden: Int, _ shape: RunShape) -> Int {
        let tokens = shape.tokensPerStep
        func bytes(_ inner: Int, _ reduced: Int) -> Int {
            [hidden, inner, reduced].reduce(0) { $0 + Arena.roundedUp(tokens * $1 * 4) }
                + max(
                    codesBytes(tokens: tokens, columns: hidden, shape),
                    codesBytes(tokens: tokens, columns: reduced, shape))
        }
        return max(bytes(projections, attended), bytes(wide, narrow))
    }
}

/// Bytes of blocked activations: codes, and a scale and a sum for each block, of 4 columns at the least.
///
/// Rounded ones take less.
func codesBytes(tokens: Int, columns: Int, _ shape: RunShape) -> Int {
    guard shape.quantizesActivations else { return 0 }
    let padded = (columns + 31) / 32 * 32
    let padding = BlockedActivations.padding
    return Arena.roundedUp(tokens * padded + padding.elements) + Arena.roundedUp(tokens * padded + padding.scales)
        + Arena.roundedUp(tokens * padded)
}

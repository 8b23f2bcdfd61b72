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
        self.init(RankShare(decoder, plan: plan, rank: rank, format: format), shape: shape)
    }

    /// What a share of a model takes in a run of this shape.
    public init(_ share: RankShare, shape: RunShape) {
        weights = share.weights
        keyValueCache = shape.cacheBlockCount * shape.cacheBlockLength * share.cacheBytesPerPosition(shape.cacheType)
        (arena, activations) = share.stepBytes(shape)
    }
}

/// One rank's part of a model as the runtime keeps it, whatever the run.
public struct RankShare: Equatable, Sendable {
    /// Bytes of packed matrices, biases and norms.
    public private(set) var weights = 0
    /// Vectors that the cache keeps for a position: how many of each length, and whether a value comes with each.
    private var cached: [CachedVector: Int] = [:]
    /// Different layers' widths.
    private var widths: Set<LayerWidths> = []
    private let hidden: Int
    private let vocabulary: Int
    /// Features of a head that are rotated.
    private let rotated: Int
    /// Rows of the output head; nil unless this is the last stage.
    private var headRows: Int?
    private let isFirstRank: Bool

    private struct LayerClass: Hashable {
        var layer: LayerConfiguration
        var formats: [ComputeFormat]
    }

    private struct CachedVector: Hashable {
        var dimension: Int
        var hasValue: Bool
    }

    /// Adds up the share of `rank`.
    ///
    /// - Parameter format: how the matrix of a parameter is packed.
    public init(
        _ decoder: DecoderConfiguration, plan: ParallelPlan, rank: Int, format: (ParameterName) -> ComputeFormat
    ) {
        let placement = plan.placement(ofRank: rank, layerCount: decoder.layers.count)
        hidden = decoder.hiddenSize
        vocabulary = decoder.vocabularySize
        rotated = decoder.layers[0].attention.headDimension
        isFirstRank = rank == 0
        // Layers that are alike are counted once: shapes first, then the formats of their matrices.
        var shapes: [LayerConfiguration: [(Parameter, ParameterShare)]] = [:]
        var sizes: [LayerClass: Int] = [:]
        for index in placement.layers {
            let layer = decoder.layers[index]
            if shapes[layer] == nil {
                let shares = decoder.parameters(of: layer, at: index).map {
                    ($0, decoder.share(of: $0, at: placement))
                }
                shapes[layer] = shares
                widths.insert(LayerWidths(layer, shares))
            }
            switch layer.attention {
            case .groupedQuery(let attention):
                let heads = layer.attention.placement(in: placement.group, shard: placement.shard)
                cached[CachedVector(dimension: attention.headDimension, hasValue: true), default: 0] +=
                    heads.keyValueHeads.count
            case .latent(let attention):
                cached[CachedVector(dimension: attention.cachedDimension, hasValue: false), default: 0] += 1
            }
            let shares = shapes[layer] ?? []
            let formats = shares.map { parameter, _ in
                guard parameter.role == .matrix, case .layer(_, let part) = parameter.name else {
                    return ComputeFormat.float32
                }
                return format(.layer(index, part))
            }
            let key = LayerClass(layer: layer, formats: formats)
            let bytes = sizes[key] ?? Self.byteCount(shares, of: decoder, at: placement, formats: formats)
            sizes[key] = bytes
            weights += bytes
        }
        if placement.isFirstStage {
            let (companions, embedding) = (decoder.companions, placement.shard)
            weights += companions.reduce(0) {
                $0 + 2 * placement.group.shares(of: $1.parameterCount)[embedding].count
            }
        }
        guard placement.isLastStage else { return }
        let rows = placement.group.shares(of: decoder.vocabularySize)[placement.shard].count
        headRows = rows
        weights += hidden * (decoder.hasNormBias ? 8 : 4)
        weights += Self.byteCount(format(.head), rows: rows, ContractionLayout(length: hidden), columns: 0..<hidden)
    }

    /// Packed matrices, biases and norms of a layer.
    ///
    /// Neighbouring matrices of one format that read the same input share panels, as the loader stacks them.
    private static func byteCount(
        _ shares: [(Parameter, ParameterShare)], of decoder: DecoderConfiguration, at placement: Placement,
        formats: [ComputeFormat]
    ) -> Int {
        var bytes = 0
        var stack: (format: ComputeFormat, columns: Int, rows: Int)?
        func flush() {
            guard let full = stack else { return }
            bytes += byteCount(
                full.format, rows: full.rows, ContractionLayout(length: full.columns), columns: 0..<full.columns)
            stack = nil
        }
        for ((parameter, share), format) in zip(shares, formats) {
            guard parameter.role == .matrix else {
                bytes += share.count * MemoryLayout<Float>.size
                continue
            }
            if parameter.sharding == .row || share.copies > 1 {
                flush()
                let layout = decoder.contraction(of: parameter, shardCount: placement.group.count)
                bytes += share.copies * byteCount(format, rows: share.rows.count, layout, columns: share.columns)
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

    private static func byteCount(
        _ format: ComputeFormat, rows: Int, _ layout: ContractionLayout, columns: Range<Int>
    ) -> Int {
        format.byteCount(
            rows: rows, columns: columns.count, block: layout.inputBlock(group: format.groups?.size) ?? 1,
            groupOffset: format.groups.map { columns.lowerBound % $0.size } ?? 0
        ).total
    }

    /// Bytes of the cache that a position of a sequence takes.
    public func cacheBytesPerPosition(_ type: KeyValueType) -> Int {
        cached.reduce(0) { sum, vector in
            let bytes = type.byteCount(headDimension: vector.key.dimension)
            let one = vector.key.hasValue ? bytes.key + bytes.value + bytes.scales : bytes.key + bytes.scales
            return sum + vector.value * one
        }
    }

    /// Bytes of a step's arena, and those with rank 0's rows of logits.
    func stepBytes(_ shape: RunShape) -> (arena: Int, activations: Int) {
        let tokens = shape.tokensPerStep
        let widest = widths.map { $0.arenaBytes(hidden: hidden, shape) }.max() ?? 0
        var logits = 0
        if let headRows {
            logits +=
                2 * Arena.roundedUp(shape.logitRows * hidden * 4) + Arena.roundedUp(shape.logitRows * headRows * 4)
                + codesBytes(tokens: shape.logitRows, columns: hidden, shape)
        }
        if isFirstRank { logits += Arena.roundedUp(shape.logitRows * vocabulary * 4) }
        let arena =
            2 * Arena.roundedUp(tokens * (rotated / 2) * 4) + 2 * Arena.roundedUp(tokens * hidden * 4)
            + max(widest, logits)
        return (arena, arena + (isFirstRank ? shape.logitRows * vocabulary * 4 : 0))
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

/// How wide one rank's activations are in a layer.
private struct LayerWidths: Hashable {
    /// Query, key and value.
    var projections = 0
    /// What the output projection reads.
    var attended = 0
    /// Gate and up together.
    var wide = 0
    /// What the down projection reads.
    var narrow = 0

    init(_ layer: LayerConfiguration, _ shares: [(Parameter, ParameterShare)]) {
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

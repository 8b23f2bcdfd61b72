import Tensors
import Topology

/// The properties of a step that determine the size of its activations.
public struct StepShape: Hashable, Sendable {
    /// Tokens of the step, which are rows of the residual stream.
    public var tokenCount: Int
    /// Rows of logits that are computed at once.
    public var logitRows: Int
    /// Whether inputs are quantized for products with integer weights and may be rounded for bfloat16 weights.
    public var quantizesActivations: Bool
    /// Whether the kernels round the inputs of products with bfloat16 weights.
    public var roundsInputs: Bool

    public init(tokenCount: Int, logitRows: Int, quantizesActivations: Bool, roundsInputs: Bool) {
        self.tokenCount = tokenCount
        self.logitRows = logitRows
        self.quantizesActivations = quantizesActivations
        self.roundsInputs = roundsInputs
    }
}

/// The inventory of a layer's, or the head's, activations in a step's arena.
///
/// The moments follow from the same description as the layers (`DecoderLayer`, `GroupedAttention`,
/// `FeedForwardLayer`); a test checks that their maximum equals the arena's high-water mark.
public struct ActivationInventory: Hashable, Sendable {
    /// Activations that are alive at the same time.
    struct Moment: Hashable, Sendable {
        /// The widths of the float32 activations, in features.
        var widths: [Int]
        /// The product's input, converted to suit the weight's type; nil: it stays float32.
        var input: Input?
    }

    /// A converted input of a product, stored in blocks of columns.
    struct Input: Hashable, Sendable {
        /// Columns, with those that pad the last step of the weights.
        var columns: Int
        /// The number of blocks that share a scale, for integer weights; nil for bfloat16.
        var scales: Int?

        /// - Returns: nil for formats whose products take float32.
        init?(_ cut: Cut, _ format: ComputeFormat) {
            switch format {
            case .float32, .float16: return nil
            case .bfloat16: scales = nil
            case .int8(let groups), .int4(let groups):
                let count = groups.inputBlockCount(sliceEnds: cut.sliceEnds, offset: cut.columns.lowerBound)
                scales = cut.copies * count
            }
            let step = format.step(run: cut.layout.run)
            columns = cut.copies * ((cut.columns.count + step - 1) / step * step)
        }
    }

    /// The columns of a product, and how the sum over them is cut.
    struct Cut {
        var layout: ContractionLayout
        var columns: Range<Int>
        var group = ShardGroup(count: 1)
        /// The number of products of this kind whose inputs are alive at once.
        var copies = 1

        var sliceEnds: [Int] { layout.sliceEnds(of: columns, in: group) }

        /// All columns of a dimension without structure.
        static func all(_ length: Int) -> Cut { Cut(layout: ContractionLayout(length: length), columns: 0..<length) }
    }

    private(set) var moments: [Moment] = []

    /// The number of bytes of the largest moment.
    ///
    /// - Parameter rows: tokens of the step, or rows of logits.
    public func byteCount(rows: Int, _ step: StepShape) -> Int {
        moments.map { moment in
            moment.widths.reduce(0) { $0 + Arena.roundedUp(rows * $1 * MemoryLayout<Float>.size) }
                + (moment.input?.byteCount(rows: rows, step) ?? 0)
        }.max() ?? 0
    }

    /// Records a product with a matrix while activations of these widths are alive.
    fileprivate mutating func multiply(_ inputs: [Input?], alive widths: [Int]) {
        moments.append(Moment(widths: widths))
        moments += Set(inputs.compactMap(\.self)).map { Moment(widths: widths, input: $0) }
    }
}

extension ActivationInventory.Input {
    /// The bytes that `CPUBackend` allocates: codes, scales and corrections, or rounded numbers.
    fileprivate func byteCount(rows: Int, _ step: StepShape) -> Int {
        guard step.quantizesActivations, scales != nil || step.roundsInputs else { return 0 }
        let padding = BlockedActivations.padding
        guard let scales else { return Arena.roundedUp(2 * rows * columns + padding.elements) }
        return Arena.roundedUp(rows * columns + padding.elements)
            + 2 * Arena.roundedUp(4 * rows * scales + padding.scales)
    }
}

/// The packed formats of the matrices outside the layers.
public struct OuterFormats: Hashable, Sendable {
    public var embeddingProjection: ComputeFormat
    public var headProjection: ComputeFormat
    public var head: ComputeFormat

    /// - Parameter format: the packed format of a parameter's matrix.
    public init(_ format: (ParameterName) -> ComputeFormat) {
        embeddingProjection = format(.embeddingProjection)
        headProjection = format(.headProjection)
        head = format(.head)
    }
}

extension AttentionKind {
    fileprivate var valuesAreKeys: Bool {
        if case .groupedQuery(let attention) = self { attention.valuesAreKeys } else { false }
    }

    /// The widths of the arrays that a layer takes before it rotates heads, and gives back after that.
    fileprivate var headScratch: [Int] {
        guard case .groupedQuery(let attention) = self else { return [] }
        let isJoint = attention.queryKeyNorm?.span == .allHeads
        return (isJoint ? [attention.queryHeadCount + attention.keyValueHeadCount, 1, 1] : [])
            + (attention.scores.growth == nil ? [] : [1])
    }
}

extension DecoderConfiguration {
    /// The activations of a layer in a rank's arena, without the residual stream.
    ///
    /// The experts that process a token are counted as one wide expert.
    ///
    /// - Parameter format: the packed format of a parameter's matrix.
    public func activations(
        ofLayer index: Int, at placement: Placement, format: (ParameterName) -> ComputeFormat
    ) -> ActivationInventory {
        let layer = layers[index]
        let copies = if case .experts(let experts) = layer.feedForward { experts.activeCount } else { 1 }
        var widths = (projections: 0, attended: 0, wide: 0, narrow: 0)
        typealias Input = ActivationInventory.Input
        var inputs = (projections: [Input?](), output: [Input?](), wide: [Input?](), down: [Input?]())
        /// The input of the product with a rank's share of a matrix.
        func input(of parameter: Parameter, _ columns: Range<Int>, copies: Int = 1) -> Input? {
            let layout = contraction(of: parameter, shardCount: placement.group.count)
            // Only matrices that are cut by columns have slices of shards; others have all columns.
            let group = parameter.sharding == .row ? placement.group : ShardGroup(count: 1)
            return Input(
                ActivationInventory.Cut(layout: layout, columns: columns, group: group, copies: copies),
                format(parameter.name))
        }
        for parameter in parameters(of: layer, at: index) where parameter.role == .matrix {
            guard case .layer(_, let part) = parameter.name else { continue }
            let share = share(of: parameter, at: placement)
            switch part {
            case .attentionOutput:
                widths.attended += share.columns.count
                inputs.output.append(input(of: parameter, share.columns))
            case .gate, .up, .sharedGate, .sharedUp:
                widths.wide += share.rows.count
                inputs.wide.append(input(of: parameter, share.columns))
            case .expertGate, .expertUp:
                widths.wide += copies * share.rows.count
                inputs.wide.append(input(of: parameter, share.columns))
            case .down, .sharedDown:
                widths.narrow += share.columns.count
                inputs.down.append(input(of: parameter, share.columns))
            case .expertDown:
                widths.narrow += copies * share.columns.count
                inputs.down.append(input(of: parameter, share.columns, copies: copies))
            case .router, .sharedScale: break
            case .query, .key, .value, .queryDown, .queryUp, .keyValueDown, .keyValueUp:
                widths.projections += share.rows.count
                if part == .key, layer.attention.valuesAreKeys { widths.projections += share.rows.count }
                inputs.projections.append(input(of: parameter, share.columns))
            case .attentionNorm, .queryNorm, .keyNorm, .sinks, .queryDownNorm, .keyValueDownNorm, .afterAttentionNorm,
                .feedForwardNorm, .afterFeedForwardNorm, .activationPositive, .activationNegative, .streamScale:
                preconditionFailure("\(part) is no matrix")
            }
        }
        var inventory = ActivationInventory()
        // During a branch, its norm's output is alive and, if branches are parallel, the other branch's output.
        let hasNorm = layer.normParts.contains
        var alive = hasNorm(.attentionNorm) ? [hiddenSize] : []
        if layer.order != .sequential { alive.append(hiddenSize) }
        inventory.multiply(inputs.projections, alive: alive + [widths.projections])
        inventory.multiply([], alive: alive + [widths.projections] + layer.attention.headScratch)
        inventory.multiply(inputs.output, alive: alive + [widths.projections, widths.attended])
        if layer.order == .sequential { alive = [] }
        if hasNorm(.feedForwardNorm) { alive.append(hiddenSize) }
        inventory.multiply(inputs.wide, alive: alive + [widths.wide])
        // Without a gate, the activation function works in place.
        inventory.multiply(
            inputs.down, alive: alive + [widths.wide] + (layer.feedForward.isGated ? [widths.narrow] : []))
        return inventory
    }

    /// The activations of the first stage before its layers, besides the residual stream.
    public func entranceActivations(formats: OuterFormats) -> ActivationInventory {
        var inventory = ActivationInventory()
        if let width = embedding.width {
            inventory.multiply([ActivationInventory.Input(.all(width), formats.embeddingProjection)], alive: [width])
        }
        return inventory
    }

    /// The activations of the final norm and the head in the arena of a rank of the last stage.
    ///
    /// - Parameters:
    ///   - headRows: the rank's share of the vocabulary.
    ///   - isGathered: whether the rank also gathers several rows of logits from all shards.
    ///   - formats: the packed formats of the matrices outside the layers.
    public func headActivations(headRows: Int, isGathered: Bool, formats: OuterFormats) -> ActivationInventory {
        var inventory = ActivationInventory()
        var alive = [hiddenSize, hiddenSize]
        if let width = embedding.width {
            alive.append(width)
            inventory.multiply([ActivationInventory.Input(.all(hiddenSize), formats.headProjection)], alive: alive)
        }
        alive.append(headRows)
        inventory.multiply([ActivationInventory.Input(.all(embeddingWidth), formats.head)], alive: alive)
        if isGathered { inventory.gather(vocabularySize, alive: alive) }
        return inventory
    }

    /// The activations of a rank that has no head but gathers the logits.
    public func gatheredLogits() -> ActivationInventory {
        var inventory = ActivationInventory()
        inventory.gather(vocabularySize, alive: [])
        return inventory
    }

    /// Bytes that live for a whole step: rotary angles, the residual stream and the pending addition to it.
    public func streamByteCount(_ step: StepShape) -> Int {
        func bytes(_ width: Int) -> Int { Arena.roundedUp(step.tokenCount * width * MemoryLayout<Float>.size) }
        return rotations.reduce(0) { $0 + 2 * bytes(($1?.dimension ?? 0) / 2) } + 2 * bytes(hiddenSize)
    }
}

extension ActivationInventory {
    fileprivate mutating func gather(_ vocabularySize: Int, alive widths: [Int]) {
        moments.append(Moment(widths: widths + [vocabularySize]))
    }
}

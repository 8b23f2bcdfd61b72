import Tensors
import Topology

/// A step as far as its activations go.
public struct StepShape: Hashable, Sendable {
    /// Rows of the residual stream.
    public var tokenCount: Int
    /// Rows of logits at a time.
    public var logitRows: Int
    /// Whether inputs of products with integer weights are quantized, and those with bfloat16 weights may be rounded.
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

/// What a layer, or the head, takes of a step's arena: the inventory of activations beside that of parameters.
///
/// The moments follow from the same description as the layers (`DecoderLayer`, `GroupedAttention`, `FeedForwardLayer`); a
/// test holds their maximum equal to the arena's high-water mark.
public struct ActivationInventory: Hashable, Sendable {
    /// What is alive at once.
    struct Moment: Hashable, Sendable {
        /// Features of the float32 rows.
        var widths: [Int]
        /// The input of a product in the form of its weight's type.
        var input: Input?
    }

    /// The input of a product, in blocks of columns.
    struct Input: Hashable, Sendable {
        var columns: Int
        var block: Int
        /// Whether weights are integers; else they are bfloat16.
        var isInteger: Bool
    }

    private(set) var moments: [Moment] = []

    /// Bytes at the moment that takes the most.
    ///
    /// - Parameter rows: tokens of the step, or rows of logits.
    public func byteCount(rows: Int, _ step: StepShape) -> Int {
        moments.map { moment in
            moment.widths.reduce(0) { $0 + Arena.roundedUp(rows * $1 * MemoryLayout<Float>.size) }
                + (moment.input?.byteCount(rows: rows, step) ?? 0)
        }.max() ?? 0
    }

    /// Adds a product with a matrix, while rows of these widths are alive.
    fileprivate mutating func multiply(
        _ columns: Int, _ layout: ContractionLayout, _ formats: [ComputeFormat], alive widths: [Int]
    ) {
        moments.append(Moment(widths: widths))
        for format in Set(formats) {
            let isInteger = format.groups != nil
            guard isInteger || format == .bfloat16 else { continue }
            let block = layout.inputBlock(group: format.groups?.size) ?? 1
            moments.append(
                Moment(widths: widths, input: Input(columns: columns, block: block, isInteger: isInteger)))
        }
    }
}

extension ActivationInventory.Input {
    /// As `CPUBackend` takes it: codes, scales and corrections, or rounded numbers.
    fileprivate func byteCount(rows: Int, _ step: StepShape) -> Int {
        guard step.quantizesActivations, isInteger || step.roundsInputs else { return 0 }
        let blocks = (columns + block - 1) / block
        let padding = BlockedActivations.padding
        guard isInteger else { return Arena.roundedUp(2 * rows * blocks * block + padding.elements) }
        return Arena.roundedUp(rows * blocks * block + padding.elements)
            + Arena.roundedUp(4 * rows * blocks + padding.scales) + Arena.roundedUp(4 * rows * blocks)
    }
}

extension DecoderConfiguration {
    /// What a layer takes of the arena on a rank, besides the residual stream.
    ///
    /// Of experts, those that a token goes through are counted as if they were one.
    ///
    /// - Parameter format: how the matrix of a parameter is packed.
    public func activations(
        ofLayer index: Int, at placement: Placement, format: (ParameterName) -> ComputeFormat
    ) -> ActivationInventory {
        let layer = layers[index]
        let copies = if case .experts(let experts) = layer.feedForward { experts.activeCount } else { 1 }
        var widths = (projections: 0, attended: 0, wide: 0, narrow: 0)
        var formats = (
            projections: [ComputeFormat](), output: [ComputeFormat](), wide: [ComputeFormat](), down: [ComputeFormat]()
        )
        for parameter in parameters(of: layer, at: index) where parameter.role == .matrix {
            guard case .layer(_, let part) = parameter.name else { continue }
            let share = share(of: parameter, at: placement)
            let format = format(parameter.name)
            switch part {
            case .attentionOutput:
                widths.attended += share.columns.count
                formats.output.append(format)
            case .gate, .up, .sharedGate, .sharedUp:
                widths.wide += share.rows.count
                formats.wide.append(format)
            case .expertGate, .expertUp:
                widths.wide += copies * share.rows.count
                formats.wide.append(format)
            case .down, .sharedDown:
                widths.narrow += share.columns.count
                formats.down.append(format)
            case .expertDown:
                widths.narrow += copies * share.columns.count
                formats.down.append(format)
            case .router, .sharedScale: break
            case .query, .key, .value, .queryDown, .queryUp, .keyValueDown, .keyValueUp:
                widths.projections += share.rows.count
                formats.projections.append(format)
            case .attentionNorm, .queryNorm, .keyNorm, .sinks, .queryDownNorm, .keyValueDownNorm, .afterAttentionNorm,
                .feedForwardNorm, .afterFeedForwardNorm:
                preconditionFailure("\(part) is no matrix")
            }
        }
        let hidden = ContractionLayout(length: hiddenSize)
        var inventory = ActivationInventory()
        // Alive during a branch: what its norm gives, and of parallel branches the other's result.
        let hasNorm = layer.normParts.contains
        var alive = hasNorm(.attentionNorm) ? [hiddenSize] : []
        if layer.order != .sequential { alive.append(hiddenSize) }
        inventory.multiply(hiddenSize, hidden, formats.projections, alive: alive + [widths.projections])
        inventory.multiply(
            widths.attended, layer.attention.outputContraction, formats.output,
            alive: alive + [widths.projections, widths.attended])
        if layer.order == .sequential { alive = [] }
        if hasNorm(.feedForwardNorm) { alive.append(hiddenSize) }
        inventory.multiply(hiddenSize, hidden, formats.wide, alive: alive + [widths.wide])
        // Without a gate the activation's result takes the place of its input.
        inventory.multiply(
            widths.narrow, layer.feedForward.contraction(shardCount: placement.group.count), formats.down,
            alive: alive + [widths.wide] + (layer.feedForward.isGated ? [widths.narrow] : []))
        return inventory
    }

    /// What the final norm and the head take of the arena on a rank of the last stage.
    ///
    /// - Parameters:
    ///   - headRows: the rank's share of the vocabulary.
    ///   - isGathered: whether the rank brings several rows of all shares together, besides.
    public func headActivations(headRows: Int, isGathered: Bool, headFormat: ComputeFormat) -> ActivationInventory {
        var inventory = ActivationInventory()
        let alive = [hiddenSize, hiddenSize, headRows]
        inventory.multiply(hiddenSize, ContractionLayout(length: hiddenSize), [headFormat], alive: alive)
        if isGathered { inventory.gather(vocabularySize, alive: alive) }
        return inventory
    }

    /// What a rank that has no head, and brings the logits together, takes of the arena.
    public func gatheredLogits() -> ActivationInventory {
        var inventory = ActivationInventory()
        inventory.gather(vocabularySize, alive: [])
        return inventory
    }

    /// Bytes that a step takes on a rank from its start to its end: angles, the residual stream and what is to be added to it.
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

import Kernels
import Tensors

/// What layers need to know about one step: the backend, the tokens' positions, and where their cache entries are.
///
/// Its pointers point into the runner's own buffers and the step's arena, so a step must not be kept.
public struct Step {
    public let backend: CPUBackend
    /// The number of tokens of the step, which are rows of activations.
    public let tokenCount: Int
    /// The angles of the tokens' positions, for each distinct rotation of the model's layers.
    public let angles: UnsafePointer<Angles>
    /// The cache slot of each token's keys and values.
    public let slots: UnsafePointer<CacheSlot>
    /// The units of attention: consecutive tokens of one sequence, computed together.
    public let attentionItems: UnsafeBufferPointer<AttentionItem>
    /// Whether activations are quantized for integer weights, and rounded for bfloat16 weights by kernels that round.
    public let quantizesActivations: Bool
    /// Records operations for `--trace-step`; nil in every other step.
    public let trace: StepTrace?

    public init(
        backend: CPUBackend, tokenCount: Int, angles: UnsafePointer<Angles>, slots: UnsafePointer<CacheSlot>,
        attentionItems: UnsafeBufferPointer<AttentionItem>, quantizesActivations: Bool,
        trace: StepTrace? = nil
    ) {
        self.backend = backend
        self.tokenCount = tokenCount
        self.angles = angles
        self.slots = slots
        self.attentionItems = attentionItems
        self.quantizesActivations = quantizesActivations
        self.trace = trace
    }

    /// Computes input `[tokens, columns]` · weightᵀ + bias into `output`, or into new activations if that is nil.
    func multiply(
        _ weight: WeightMatrix, by input: Activations, adding bias: Vector?, into output: Activations? = nil
    ) -> Activations {
        let result = output ?? backend.makeActivations(tokenCount: input.tokenCount, width: weight.rows)
        let mark = backend.arena.mark
        for segment in weight.segments {
            backend.multiply(
                segment.matrix, by: input, blocked: blocked(input, for: segment.matrix),
                adding: bias.map { $0.elements + segment.firstRow },
                into: result.elements + segment.firstRow, outputStride: result.stride)
            backend.arena.rewind(to: mark)
        }
        return result
    }

    /// The input, quantized or rounded to suit the weight; nil if the product takes float32.
    private func blocked(_ input: Activations, for weight: PackedMatrix) -> BlockedActivations? {
        switch weight.format {
        case _ where !quantizesActivations: nil
        case .int8, .int4: backend.quantize(input, for: weight)
        case .bfloat16 where backend.table.roundsInputs: backend.round(input, for: weight)
        default: nil
        }
    }
}

/// A record of the operations of one step.
public final class StepTrace {
    /// A row of the table.
    public struct Entry: Sendable {
        public let operation: String
        public let layer: Int?
        public let shape: String
        /// Bytes of weights and cache that were read, or bytes that were exchanged.
        public let byteCount: Int
        public let duration: Duration
    }

    public private(set) var entries: [Entry] = []

    public init() {}

    /// Records an operation that ran from `start` until now; the operations inside it are recorded before it.
    public func add(
        _ operation: String, since start: ContinuousClock.Instant, layer: Int?, shape: String, byteCount: Int
    ) {
        entries.append(
            Entry(
                operation: operation, layer: layer, shape: shape, byteCount: byteCount,
                duration: ContinuousClock.now - start))
    }
}

extension Step {
    /// Runs a product with a weight, and records it if this step is traced.
    func traced<Result, Failure: Error>(
        _ label: OperationLabel, _ weight: WeightMatrix, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try traced(
            label.name, layer: label.layer, bytes: weight.byteCount, rows: weight.rows, columns: weight.columns, body)
    }

    /// Runs an operation, and records it if this step is traced.
    func traced<Result, Failure: Error>(
        _ operation: StaticString, layer: Int?, bytes: Int, rows: Int, columns: Int,
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard let trace else { return try body() }
        let start = ContinuousClock.now
        let result = try body()
        trace.add("\(operation)", since: start, layer: layer, shape: "\(rows) x \(columns)", byteCount: bytes)
        return result
    }
}

import Kernels
import Tensors

/// What is true for one step: the backend, which tokens stand where, and what their rows need.
///
/// Pointers are into the runner's own buffers and the step's arena; a step must not be kept.
public struct Step {
    public let backend: CPUBackend
    /// Rows of the step.
    public let tokenCount: Int
    /// The angles of the tokens' positions, for each rotation that the model's layers have.
    public let angles: UnsafePointer<Angles>
    /// Where each token's keys and values go.
    public let slots: UnsafePointer<CacheSlot>
    /// Consecutive tokens of one sequence, whose attention is computed together.
    public let attentionItems: UnsafeBufferPointer<AttentionItem>
    /// Whether activations are quantized for products with integer weights, and rounded for those with bfloat16 ones on
    /// tables that do so.
    public let quantizesActivations: Bool
    /// Notes operations for `--trace-step`; nil in every other step.
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

    /// input `[tokens, columns]` · weightᵀ + bias, in one of few rows of memory: `output`, or new ones.
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

    /// The input in the form of the weight's type; nil where products take floats.
    private func blocked(_ input: Activations, for weight: PackedMatrix) -> BlockedActivations? {
        switch weight.format {
        case _ where !quantizesActivations: nil
        case .int8, .int4: backend.quantize(input, block: weight.block)
        case .bfloat16 where backend.table.roundsInputs: backend.round(input, block: weight.block)
        default: nil
        }
    }
}

/// What one step did, operation by operation.
public final class StepTrace {
    /// A row of the table.
    public struct Entry: Sendable {
        public let operation: String
        public let layer: Int?
        public let shape: String
        /// Bytes of weights and cache read, or bytes exchanged.
        public let byteCount: Int
        public let duration: Duration
    }

    public private(set) var entries: [Entry] = []

    public init() {}

    /// Notes an operation that took the time from `start` until now; operations inside it have been noted before.
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
    /// Runs a product with a weight, and notes it if this step is traced.
    func traced<Result, Failure: Error>(
        _ label: OperationLabel, _ weight: WeightMatrix, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try traced(
            label.name, layer: label.layer, bytes: weight.byteCount, rows: weight.rows, columns: weight.columns, body)
    }

    /// Runs an operation, and notes it if this step is traced.
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

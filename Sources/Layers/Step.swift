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
    /// Records the step's operations; nil if the step is not traced.
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
        _ weight: WeightMatrix, by input: Activations, adding bias: Vector?, into output: Activations? = nil,
        _ label: OperationLabel
    ) -> Activations {
        let result = output ?? backend.makeActivations(tokenCount: input.tokenCount, width: weight.rows)
        traced(
            TracedOperation(
                label.name, .product, layer: label.layer, rows: weight.rows, columns: weight.columns,
                byteCount: weight.byteCount, operationCount: 2 * input.tokenCount * weight.rows * weight.columns)
        ) {
            let mark = backend.arena.mark
            for segment in weight.segments {
                backend.multiply(
                    segment.matrix, by: input, blocked: blocked(input, for: segment.matrix),
                    adding: bias.map { $0.elements + segment.firstRow },
                    into: result.elements + segment.firstRow, outputStride: result.stride)
                backend.arena.rewind(to: mark)
            }
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

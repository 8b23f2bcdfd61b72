import Collectives
import Kernels
import Tensors

/// The name of an operation in traces.
public struct OperationLabel: Sendable {
    public let name: StaticString
    /// The layer that the operation belongs to; nil: none.
    public let layer: Int?

    public init(_ name: StaticString, layer: Int? = nil) {
        self.name = name
        self.layer = layer
    }
}

/// A linear layer whose output features are divided among the ranks of its group.
///
/// It takes the whole input on every rank and returns this rank's columns of the output, without communication.
public struct ColumnParallelLinear {
    let weight: WeightMatrix
    let bias: Vector?
    let label: OperationLabel

    public init(weight: WeightMatrix, bias: Vector?, label: OperationLabel) {
        self.weight = weight
        self.bias = bias
        self.label = label
    }

    /// Computes input `[tokens, input]` · weightᵀ `[input, output share]` + bias.
    public func callAsFunction(_ input: Activations, _ step: Step) -> Activations {
        step.multiply(weight, by: input, adding: bias, label)
    }

    /// Writes the same product into `output`.
    public func write(_ input: Activations, into output: Activations, _ step: Step) {
        _ = step.multiply(weight, by: input, adding: bias, into: output, label)
    }
}

/// A linear layer whose input features are divided among the ranks of its group.
///
/// It takes this rank's columns of the input and returns the whole output on every rank, with one all-reduce.
public struct RowParallelLinear {
    let weight: WeightMatrix
    let bias: Vector?
    let group: any Communicator
    let label: OperationLabel

    public init(weight: WeightMatrix, bias: Vector?, group: any Communicator, label: OperationLabel) {
        self.weight = weight
        self.bias = bias
        self.group = group
        self.label = label
    }

    /// Writes input `[tokens, input share]` · weightᵀ, summed over the group, + bias into `output` `[tokens, output]`.
    public func callAsFunction(
        _ input: Activations, into output: Activations, _ step: Step
    ) throws(CommunicationError) {
        guard group.size > 1 else {
            _ = step.multiply(weight, by: input, adding: bias, into: output, label)
            return
        }
        // If the group has memory that other ranks can read, the product goes there, which saves the sum a copy.
        let sum = UnsafeMutableRawBufferPointer(output.contiguous)
        let place = try group.place(ofByteCount: sum.count)
        let product = place.map {
            Activations(
                elements: $0.assumingMemoryBound(to: Float.self), tokenCount: output.tokenCount, width: output.width)
        }
        let part = step.multiply(weight, by: input, adding: nil, into: product ?? output, label)
        try step.traced(
            TracedOperation(
                "all-reduce", .allReduce, layer: label.layer, rows: output.tokenCount, columns: output.width,
                byteCount: sum.count), with: group
        ) { () throws(CommunicationError) in
            try group.allReduce(UnsafeRawBufferPointer(part.contiguous), into: sum, .float32, .sum)
        }
        // After the sum, so that the degree does not change the bits.
        guard let bias else { return }
        for token in 0..<output.tokenCount {
            let row = output.elements + token * output.stride
            for i in 0..<output.width { row[i] += bias.elements[i] }
        }
    }
}

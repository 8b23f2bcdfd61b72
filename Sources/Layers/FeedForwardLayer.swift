import Collectives
import Kernels
import Tensors

/// Computes down(activation(gate(x)) · up(x)), or down(activation(up(x))) without a gate.
///
/// Gate and up are one matrix, so that x is read once.
public struct FeedForwardLayer {
    let wide: ColumnParallelLinear
    let activation: Activation
    let isGated: Bool
    let coefficients: (Float, Float)
    let down: RowParallelLinear

    /// - Parameters:
    ///   - wide: gate and up, stacked, or up alone.
    ///   - coefficients: xIELU's learned coefficients, for positive and for negative elements.
    public init(
        wide: ColumnParallelLinear, activation: Activation, isGated: Bool, coefficients: (Float, Float),
        down: RowParallelLinear
    ) {
        self.wide = wide
        self.activation = activation
        self.isGated = isGated
        self.coefficients = coefficients
        self.down = down
    }

    /// Maps normalized hidden states `[tokens, hidden]` to the feed-forward's contribution to the residual stream.
    public func callAsFunction(_ hidden: Activations, into result: Activations, _ step: Step) throws(CommunicationError)
    {
        let rows = wide(hidden, step)
        let activated = step.traced(
            TracedOperation(
                "activation", .elementwise, layer: down.label.layer, rows: rows.tokenCount, columns: rows.width)
        ) {
            step.backend.activate(rows, activation, isGated: isGated, coefficients: coefficients)
        }
        try down(activated, into: result, step)
    }
}

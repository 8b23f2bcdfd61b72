import Collectives
import Kernels
import Tensors

/// down(silu(gate(x)) · up(x)): gate and up stacked in one matrix, so that the input is read once.
public struct GatedFeedForwardLayer {
    let gateAndUp: ColumnParallelLinear
    let down: RowParallelLinear
    let layer: Int

    public init(gateAndUp: ColumnParallelLinear, down: RowParallelLinear, layer: Int) {
        self.gateAndUp = gateAndUp
        self.down = down
        self.layer = layer
    }

    /// hidden `[tokens, hidden]`, normalized, to the feed-forward's contribution to the residual stream.
    public func callAsFunction(_ hidden: Activations, into result: Activations, _ step: Step) throws(CommunicationError)
    {
        let wide = step.traced(
            "gate, up", layer: layer, bytes: gateAndUp.weight.byteCount, rows: gateAndUp.weight.rows,
            columns: gateAndUp.weight.columns
        ) {
            gateAndUp(hidden, step)
        }
        let gated = step.backend.activate(wide, .silu, isGated: true)
        try step.traced(
            "down", layer: layer, bytes: down.weight.byteCount, rows: down.weight.rows, columns: down.weight.columns
        ) { () throws(CommunicationError) in
            try down(gated, into: result, step)
        }
    }
}

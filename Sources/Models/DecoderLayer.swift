import Collectives
import Kernels
import Layers
import Tensors

/// One layer: attention, then feed-forward, each behind a norm and added to the residual stream.
struct DecoderLayer {
    let attentionNorm: RMSNorm
    let attention: GroupedAttention
    let feedForwardNorm: RMSNorm
    let feedForward: GatedFeedForwardLayer

    /// Takes the stream and what is still to be added to it, and leaves in `delta` what the feed-forward adds.
    ///
    /// The addition is left to the next norm, which reads the stream anyway.
    func callAsFunction(
        _ hidden: Activations, delta: Activations, isFirst: Bool, _ step: Step
    ) throws(CommunicationError) {
        let arena = step.backend.arena
        let mark = arena.mark
        try attention(attentionNorm(hidden, adding: isFirst ? nil : delta, step), into: delta, step)
        arena.rewind(to: mark)
        try feedForward(feedForwardNorm(hidden, adding: delta, step), into: delta, step)
        arena.rewind(to: mark)
    }
}

import Architectures
import Collectives
import Kernels
import Layers
import Tensors

/// One decoder layer: attention and feed-forward with their norms, both added to the residual stream.
struct DecoderLayer {
    let order: BranchOrder
    let attentionNorm: Norm?
    let attention: GroupedAttention
    let afterAttentionNorm: Norm?
    let feedForwardNorm: Norm?
    let feedForward: FeedForwardLayer
    let afterFeedForwardNorm: Norm?
    /// The factor on the outputs of both branches before they join the stream.
    let residualScale: Float
    /// The factor on the stream after the layer; nil: none.
    let streamScale: Float?

    /// Whether the layer leaves an addition to the stream in `delta`.
    var leavesAddition: Bool { streamScale == nil }

    /// Adds `delta` to the stream if that is pending, runs the layer, and leaves its own pending addition in `delta`.
    ///
    /// The addition is left to the next norm, because that reads the stream anyway.
    func callAsFunction(
        _ hidden: Activations, delta: Activations, isPending: Bool, _ step: Step
    ) throws(CommunicationError) {
        let backend = step.backend
        let mark = backend.arena.mark
        let input = enter(attentionNorm, hidden, adding: isPending ? delta : nil, step)
        switch order {
        case .sequential:
            try attention(input, into: delta, step)
            afterAttentionNorm?.normalize(delta, step)
            backend.arena.rewind(to: mark)
            try feedForward(enter(feedForwardNorm, hidden, adding: delta, step), into: delta, step)
            afterFeedForwardNorm?.normalize(delta, step)
        case .parallel(let sharesNorm):
            let attended = backend.makeActivations(tokenCount: hidden.tokenCount, width: hidden.width)
            let inner = backend.arena.mark
            try attention(input, into: attended, step)
            afterAttentionNorm?.normalize(attended, step)
            backend.arena.rewind(to: inner)
            try feedForward(sharesNorm ? input : enter(feedForwardNorm, hidden, adding: nil, step), into: delta, step)
            afterFeedForwardNorm?.normalize(delta, step)
            backend.add(attended, to: delta)
        }
        backend.arena.rewind(to: mark)
        if let streamScale {
            backend.add(delta, to: hidden, scaledBy: residualScale * streamScale, keeping: streamScale)
        }
    }

    /// Adds `delta` to the stream, and returns the input of a branch: the stream, normalized if there is a norm.
    private func enter(
        _ norm: Norm?, _ hidden: Activations, adding delta: Activations?, _ step: Step
    ) -> Activations {
        if let norm { return norm(hidden, adding: delta, scaledBy: residualScale, step) }
        if let delta { step.backend.add(delta, to: hidden, scaledBy: residualScale) }
        return hidden
    }
}

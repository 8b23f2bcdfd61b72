import Kernels
import Tensors

/// Root-mean-square normalization: x / sqrt(mean(x²) + ε) · weight (Zhang and Sennrich, arXiv:1910.07467).
public struct RMSNorm {
    let weight: Vector
    let epsilon: Float

    public init(weight: Vector, epsilon: Float) {
        self.weight = weight
        self.epsilon = epsilon
    }

    /// Adds `delta` to the residual stream in place, and gives the stream normalized.
    public func callAsFunction(_ hidden: Activations, adding delta: Activations?, _ step: Step) -> Activations {
        step.backend.normalize(
            hidden, adding: delta, NormWeights(kind: .rms, weight: weight.elements, epsilon: epsilon))
    }
}

import Architectures
import Kernels
import Tensors

/// A norm of rows of activations.
public struct Norm {
    private let kind: NormKind
    private let epsilon: Float
    private let weight: Vector
    private let bias: Vector?

    /// - Parameters:
    ///   - weight: `[features]`, as it multiplies.
    ///   - bias: `[features]`; nil: none.
    public init(_ configuration: NormConfiguration, weight: Vector, bias: Vector?) {
        kind = configuration.kind
        epsilon = configuration.epsilon
        self.weight = weight
        self.bias = bias
    }

    /// The norm as kernels take it.
    var weights: NormWeights {
        NormWeights(kind: kind, weight: weight.elements, bias: bias?.elements, epsilon: epsilon)
    }

    /// Adds `scale` · `delta` to the residual stream in place, and gives the stream normalized.
    public func callAsFunction(
        _ hidden: Activations, adding delta: Activations?, scaledBy scale: Float, _ step: Step
    ) -> Activations {
        step.backend.normalize(hidden, adding: delta, scaledBy: scale, weights)
    }

    /// Normalizes rows where they are.
    public func normalize(_ rows: Activations, _ step: Step) {
        _ = step.backend.normalize(rows, adding: nil, weights, into: rows)
    }
}

import Architectures
import Kernels
import Tensors

/// A norm over each row of activations.
public struct Norm {
    private let kind: NormKind
    private let epsilon: Float
    private let weight: Vector
    private let bias: Vector?

    /// - Parameters:
    ///   - weight: `[features]`, the factors themselves (`NormConfiguration.weightOffset` is already added).
    ///   - bias: `[features]`; nil: none.
    public init(_ configuration: NormConfiguration, weight: Vector, bias: Vector?) {
        kind = configuration.kind
        epsilon = configuration.epsilon
        self.weight = weight
        self.bias = bias
    }

    /// The norm's parameters in the form that kernels take.
    var weights: NormWeights {
        NormWeights(kind: kind, weight: weight.elements, bias: bias?.elements, epsilon: epsilon)
    }

    /// Adds `scale` · `delta` to the residual stream in place, and returns the normalized stream.
    public func callAsFunction(
        _ hidden: Activations, adding delta: Activations?, scaledBy scale: Float, _ step: Step
    ) -> Activations {
        step.traced(TracedOperation("norm", .elementwise, rows: hidden.tokenCount, columns: hidden.width)) {
            step.backend.normalize(hidden, adding: delta, scaledBy: scale, weights)
        }
    }

    /// Normalizes rows in place.
    public func normalize(_ rows: Activations, _ step: Step) {
        step.traced(TracedOperation("norm", .elementwise, rows: rows.tokenCount, columns: rows.width)) {
            _ = step.backend.normalize(rows, adding: nil, weights, into: rows)
        }
    }
}

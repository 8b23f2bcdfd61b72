/// How a norm brings rows to one size.
public enum NormKind: Hashable, Sendable, CaseIterable {
    /// x / sqrt(mean(x²) + ε): Zhang and Sennrich, arXiv:1910.07467.
    case rms
    /// (x - mean) / sqrt(variance + ε): Ba, Kiros and Hinton, arXiv:1607.06450.
    case layer
}

/// What a feed-forward layer does to each element between its products.
public enum Activation: Hashable, Sendable, CaseIterable {
    /// x / (1 + exp(-x)).
    case silu
    /// x/2 · (1 + erf(x/√2)): Hendrycks and Gimpel, arXiv:1606.08415.
    case gelu
    /// GELU's approximation x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))), which some models are trained with.
    case geluTanh
    /// max(x, 0).
    case relu
    /// max(x, 0)²: So et al., arXiv:2109.08668.
    case reluSquared
    /// p x² + x/2 where x > 0, else n (exp(x) - 1 - x) + x/2, with learned p and n: Huang and Schlag, arXiv:2411.13010.
    case xIELU
}

import CKernels
import Tensors

/// The kind and the weights of a norm: normalized x · weight + bias.
public struct NormWeights {
    public let kind: NormKind
    /// The weight of each column.
    public let weight: UnsafePointer<Float>
    public let bias: UnsafePointer<Float>?
    /// The number that is added to the mean of the squares.
    public let epsilon: Float

    public init(kind: NormKind, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>? = nil, epsilon: Float) {
        self.kind = kind
        self.weight = weight
        self.bias = bias
        self.epsilon = epsilon
    }

    var description: ck_norm_weights {
        let kind =
            switch kind {
            case .rms: CK_NORM_RMS
            case .layer: CK_NORM_LAYER
            }
        return ck_norm_weights(weight: weight, bias: bias, kind: kind, epsilon: epsilon)
    }
}

/// The norm of query heads, of key heads or of value heads.
public struct HeadNorm {
    /// The norm of the first head; its columns are the elements of a head.
    public let norm: NormWeights
    /// The number of elements from one head's weights to the next head's; 0 if all heads share them.
    public let stride: Int
    /// For each token, what the elements of all heads are multiplied by besides the weights; nil: each head is measured.
    public let factors: UnsafePointer<Float>?

    public init(_ norm: NormWeights, stride: Int = 0, factors: UnsafePointer<Float>? = nil) {
        self.norm = norm
        self.stride = stride
        self.factors = factors
    }
}

extension HeadNorm? {
    var description: ck_head_norm {
        ck_head_norm(
            norm: self?.norm.description ?? ck_norm_weights(), stride: Int64(self?.stride ?? 0), factors: self?.factors)
    }
}

/// What happens to heads before they are stored and attended to, besides their rotation.
public struct HeadOptions {
    /// The factor on queries, and not on keys.
    public var queryScale: Float
    /// A further factor on the queries of each token; nil: none.
    public var queryFactors: UnsafePointer<Float>?
    /// The norms; nil: none.
    public var queryNorm: HeadNorm?
    public var keyNorm: HeadNorm?
    public var valueNorm: HeadNorm?
    /// Whether queries and keys are rotated before they are normalized.
    public var normsFollowRotation = false

    public init(queryScale: Float, queryNorm: HeadNorm? = nil, keyNorm: HeadNorm? = nil) {
        self.queryScale = queryScale
        self.queryNorm = queryNorm
        self.keyNorm = keyNorm
    }
}

/// The angles by which the queries and keys of a step's tokens are rotated.
public struct Angles {
    /// The cosines `[tokens][pairCount]`; nil if there are no pairs.
    public let cosines: UnsafeMutablePointer<Float>?
    public let sines: UnsafeMutablePointer<Float>?
    /// The number of pairs of a head that are rotated: element i with element i + pairCount.
    ///
    /// The elements after them are not rotated.
    public let pairCount: Int

    public init(cosines: UnsafeMutablePointer<Float>?, sines: UnsafeMutablePointer<Float>?, pairCount: Int) {
        self.cosines = cosines
        self.sines = sines
        self.pairCount = pairCount
    }
}

/// The options of attention that change its scores, or add a score, before the softmax.
public struct ScoreOptions {
    /// The cap: scores s become cap · tanh(s / cap); 0 for none.
    public let cap: Float
    /// The slope of each query head, which is added to a score once for each position that the key lies after the query
    /// (ALiBi: Press, Smith and Lewis, arXiv:2108.12409).
    public let slopes: UnsafePointer<Float>?
    /// The sink of each query head, a score that takes part in the softmax and has no value (Xiao et al.,
    /// arXiv:2309.17453).
    public let sinks: UnsafePointer<Float>?

    public init(cap: Float = 0, slopes: UnsafePointer<Float>? = nil, sinks: UnsafePointer<Float>? = nil) {
        self.cap = cap
        self.slopes = slopes
        self.sinks = sinks
    }
}

extension Activation {
    var kernelActivation: ck_activation {
        switch self {
        case .silu: CK_SILU
        case .gelu: CK_GELU
        case .geluTanh: CK_GELU_TANH
        case .relu: CK_RELU
        case .reluSquared: CK_RELU_SQUARED
        case .xIELU: CK_XIELU
        }
    }
}

import Checkpoints
import Tensors

/// The scale and the zero point that some weights share: weight ≈ scale · (code − zeroPoint).
public struct GroupParameters: Equatable, Sendable {
    /// The scale, above 0 and exact in the type in which it will be stored.
    public let scale: Float
    /// The zero point as a signed code; 0 if the scheme is symmetric.
    public let zeroPoint: Int32
}

/// Encodes weights by rounding to the nearest code, ties to even.
///
/// With L = 2^(bits-1) − 1 and N = 2^bits − 1, over the weights w that share a scale:
///
///     symmetric    s = max|w| / L              q = clamp(round(w / s), −L − 1, L)
///     asymmetric   s = (max − min) / N         min and max widened to include 0
///                  z = clamp(round(−min / s), 0, N)
///                  q = clamp(round(w / s) + z, 0, N)        stored less 2^(bits-1), as is z
///
/// s is first rounded to the type in which it will be stored, so that the codes fit the scale that a reader sees. Then
/// |w − weight| ≤ s / 2.
public struct IntegerEncoder: Sendable {
    public let scheme: IntegerScheme
    /// The type in which scales are stored: float32, float16 or bfloat16.
    public let scaleType: ElementType

    /// Makes an encoder.
    ///
    /// - Throws: `badScheme` for another scale type.
    public init(scheme: IntegerScheme, scaleType: ElementType = .float32) throws(QuantizationError) {
        guard [.float32, .float16, .bfloat16].contains(scaleType) else {
            throw .badScheme(reason: "scales of type \(scaleType.rawValue) are not written")
        }
        self.scheme = scheme
        self.scaleType = scaleType
    }

    /// The scale and zero point for weights of this range; nil if the range is not finite or too wide.
    public func parameters(for range: WeightRange) -> GroupParameters? {
        guard range.isFinite else { return nil }
        let half = Int32(1) << Int32(scheme.bits - 1)
        if scheme.isSymmetric {
            let limit = Float(half - 1)
            let scale = storedScale(spanning: max(-range.minimum, range.maximum), steps: limit, excess: 0.5)
            return scale.isFinite ? GroupParameters(scale: scale, zeroPoint: 0) : nil
        }
        let (low, high) = (min(0, range.minimum), max(0, range.maximum))
        let steps = Float(2 * half - 1)
        let scale = storedScale(spanning: high - low, steps: steps, excess: 0)
        guard scale.isFinite else { return nil }
        let zeroPoint = min(max((-low / scale).rounded(.toNearestOrEven), 0), steps)
        return GroupParameters(scale: scale, zeroPoint: Int32(zeroPoint) - half)
    }

    /// Writes the codes of `count` weights.
    public func encode(
        _ weights: UnsafePointer<Float>, count: Int, _ parameters: GroupParameters,
        into codes: UnsafeMutablePointer<Int8>
    ) {
        let scale = parameters.scale
        let zeroPoint = parameters.zeroPoint
        let high = Int32(1) << Int32(scheme.bits - 1) - 1
        let low = -high - 1
        // A float of about 1.5 · 2^23 has no bits for a fraction, so the addition rounds, ties to even, and the low
        // bits of the sum are the integer, since |w / s| is far below 2^22. Unlike `rounded()`, this vectorises.
        let magic: Float = 12_582_912
        let magicBits = Int32(bitPattern: magic.bitPattern)
        for index in 0..<count {
            let rounded = Int32(bitPattern: (weights[index] / scale + magic).bitPattern) &- magicBits
            codes[index] = Int8(truncatingIfNeeded: min(max(rounded &+ zeroPoint, low), high))
        }
    }

    /// `span / steps` as it will be stored; 1 if that is 0, so that weights of zero can be divided by it.
    ///
    /// If rounding to 16 bits made the scale so small that the outermost codes would exceed `steps` by more than
    /// `excess`, the next larger scale is used; that keeps every error within half a scale.
    private func storedScale(spanning span: Float, steps: Float, excess: Float) -> Float {
        let scale = stored(span / steps)
        guard scale > 0 else { return 1 }
        guard span / scale > steps + excess else { return scale }
        switch scaleType {
        case .float16: return Float(Float16(scale).nextUp)
        case .bfloat16: return Float(BFloat16(bitPattern: BFloat16(scale).bitPattern + 1))
        default: return scale
        }
    }

    private func stored(_ scale: Float) -> Float {
        switch scaleType {
        case .float16: Float(Float16(scale))
        case .bfloat16: Float(BFloat16(scale))
        default: scale
        }
    }
}

/// The smallest and the largest of a set of weights.
public struct WeightRange: Equatable, Sendable {
    // Keys are bit patterns mapped to integers that have the order of the floats. Comparisons of integers vectorise,
    // and a NaN comes out beyond the infinities instead of being ignored.
    private var lowKey = Int32.max
    private var highKey = Int32.min

    /// The range of no weights; its bounds have no meaning until weights are added.
    public init() {}

    /// Whether all weights that were added are finite.
    public var isFinite: Bool {
        lowKey > Self.key(of: -.infinity) && highKey < Self.key(of: .infinity)
    }
    public var minimum: Float { Self.value(of: lowKey) }
    public var maximum: Float { Self.value(of: highKey) }

    /// Widens the range to include `count` more weights.
    public mutating func add(_ weights: UnsafePointer<Float>, count: Int) {
        var low = lowKey
        var high = highKey
        for index in 0..<count {
            let key = Self.key(of: weights[index])
            low = min(low, key)
            high = max(high, key)
        }
        lowKey = low
        highKey = high
    }

    private static func key(of value: Float) -> Int32 {
        let bits = Int32(bitPattern: value.bitPattern)
        return bits ^ (bits >> 31 & 0x7FFF_FFFF)
    }

    private static func value(of key: Int32) -> Float {
        Float(bitPattern: UInt32(bitPattern: key ^ (key >> 31 & 0x7FFF_FFFF)))
    }
}

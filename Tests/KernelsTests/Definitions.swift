import Glibc
import Tensors

@testable import Kernels

/// A result in double precision, and how far float32 may be from it.
///
/// Each operation rounds by 2⁻²⁴ of its result at most (Higham, Accuracy and Stability of Numerical Algorithms, 2.2);
/// the products of such errors are left out.
struct Bounded {
    /// What an operation rounds by, relative to its result.
    static let unit = 0x1p-24
    /// Roundings of the exponential, which is good to two units in the last place.
    static let exponentialRoundings = 4.0
    /// What cap · tanh(x / cap) = cap · (1 - 2 / (exp(2x / cap) + 1)) is off by, in units of the cap.
    ///
    /// The quotient: 0.45. The exponential, where half of its error counts: 2. The sum and the division, whose results
    /// are 2 at most: 4. The difference and the product: 2.
    static let capRoundings = 9.0

    let value: Double
    let tolerance: Double

    /// Whether a float is near enough.
    func holds(_ found: Float) -> Bool { abs(Double(found) - value) <= tolerance }
}

extension NormWeights {
    /// The weights of a head that has its own.
    fileprivate func from(_ first: Int) -> NormWeights {
        NormWeights(kind: kind, weight: weight + first, bias: bias.map { $0 + first }, epsilon: epsilon)
    }

    /// A row, normalized.
    func expected(_ row: [Float]) -> [Bounded] {
        let unit = Bounded.unit
        let count = Double(row.count)
        // A sum of sixteen lanes: n / 16 additions in a lane, then four of lanes.
        let sum = Double((row.count + 15) / 16 + 4)
        let x = row.map { Double($0) }
        let mean = kind == .layer ? x.reduce(0, +) / count : 0
        // The mean adds up and divides.
        let meanError = kind == .layer ? (sum * x.reduce(0) { $0 + abs($1) } / count + abs(mean)) * unit : 0
        let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
        let scale = 1 / (variance + Double(epsilon)).squareRoot()
        // Relative errors. Of the squares: their sum, the two differences in a square, the division and the sum with ε;
        // and the mean's error once more, squared, because differences from the mean add up to zero. A root halves
        // them, and rounds as the reciprocal does.
        let ofSquares = (sum + 4) * unit + meanError * meanError * scale * scale
        let ofScale = ofSquares / 2 + 2 * unit
        return x.enumerated().map { index, x in
            let factor = scale * Double(weight[index])
            let exact = (x - mean) * factor + (bias.map { Double($0[index]) } ?? 0)
            // The difference, the two products, and the sum with the bias.
            let relative = ofScale + 3 * unit
            return Bounded(
                value: exact,
                tolerance: abs(factor) * (meanError + abs(x - mean) * relative) + (bias == nil ? 0 : abs(exact) * unit))
        }
    }
}

extension HeadNorm {
    /// What head `head` is normalized with.
    func of(head: Int) -> NormWeights { norm.from(head * stride) }
}

extension Activation {
    /// xIELU's coefficients in tests.
    static let coefficients: (Float, Float) = (0.75, 1.5)

    /// The activation of x by its definition.
    func expected(_ x: Double) -> Bounded {
        let unit = Bounded.unit
        switch self {
        case .silu: return Self.gated(x, power: -x, powerError: 0)
        case .geluTanh:
            // Two constants, a square, a sum and a product.
            let power = -2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
            return Self.gated(x, power: power, powerError: 5 * unit * abs(power))
        case .gelu:
            // erfc = t p(t) exp(-x²/2) by an approximation that is good to 1.5e-7. Three roundings of t count 3.5 fold
            // at most (the derivative of t p(t) at 1), the five sums of t p(t) and the product 5.2 times; the
            // exponential's argument, at most e⁻¹ of it, and its own roundings follow, and one more product.
            let erfc = 1.5e-7 + (3 * 3.5 + 5.2 + 1 + Bounded.exponentialRoundings + 1) * unit
            let exact = x / 2 * Glibc.erfc(-x / 2.0.squareRoot())
            return Bounded(value: exact, tolerance: abs(x) / 2 * erfc + abs(exact) * unit)
        case .relu: return Bounded(value: max(x, 0), tolerance: 0)
        case .reluSquared:
            return Bounded(value: max(x, 0) * max(x, 0), tolerance: max(x, 0) * max(x, 0) * unit + 0x1p-149)
        case .xIELU:
            let (positive, negative) = (Double(Self.coefficients.0), Double(Self.coefficients.1))
            guard x <= 0 else {
                let exact = positive * x * x + x / 2
                return Bounded(value: exact, tolerance: 2 * unit * exact)
            }
            // The exponential less 1 and x rounds as its parts do, and so does the sum with x / 2.
            let difference = expm1(x) - x
            let error = Bounded.exponentialRoundings * exp(x) + 1 + 2 * abs(difference)
            let exact = negative * difference + x / 2
            return Bounded(value: exact, tolerance: unit * (negative * error + abs(exact) + abs(x / 2)))
        }
    }

    /// x / (1 + exp(power)).
    private static func gated(_ x: Double, power: Double, powerError: Double) -> Bounded {
        let (unit, exponential) = (Bounded.unit, exp(power))
        let share = exponential == .infinity ? 1 : exponential / (1 + exponential)
        let relative = share * (powerError + Bounded.exponentialRoundings * unit) + 2 * unit
        let exact = x / (1 + exponential)
        // exp is 0 below -87.3, and as large as at 88 above.
        return Bounded(value: exact, tolerance: abs(exact) * relative + abs(x) * 0x1p-126)
    }
}

/// A repeatable source of random numbers: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
///
/// Tests print the seed with a failure (`#expect` comments), and take another seed from `TRIREME_TEST_SEED`.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) {
        state = seed
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Floats in (-1, 1), with a few zeros and a few larger values, like activations.
    public mutating func floats(_ count: Int) -> [Float] {
        (0..<count).map { _ in
            let value = Float.random(in: -1...1, using: &self)
            return switch UInt8.random(in: 0...31, using: &self) {
            case 0: 0
            case 1: value * 8
            default: value
            }
        }
    }
}

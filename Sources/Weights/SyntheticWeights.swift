import Architectures
import Checkpoints
import Hashing
import Tensors

/// Weights generated from a seed, to measure speed and memory without a model's files.
///
/// Each element is a function of (seed, tensor, element index), so that it is the same at every plan. Nothing is
/// written or kept.
public struct SyntheticWeights: WeightSource {
    private let seed: UInt64
    private let names: TensorNames
    public let layoutDigest: UInt64

    public init(seed: UInt64, names: TensorNames, decoder: DecoderConfiguration) {
        self.seed = seed
        self.names = names
        layoutDigest = decoder.parameters().reduce(mixed(0)) { mixed($0 ^ UInt64($1.count)) }
    }

    public func contentDigest() -> UInt64 { mixed(seed) }

    public func checkUnchanged() {}

    public func matrix(_ parameter: Parameter) -> any MatrixSource {
        // Variance 1 / inputs keeps activations of the order of one at any depth.
        let inputs = Float(parameter.shape[1])
        return SyntheticMatrix(
            name: names.module(parameter.name), rows: parameter.shape[0], columns: parameter.shape[1],
            seed: mixed(seed ^ hash(parameter)), scale: (parameter.role == .table ? 1 : (3 / inputs).squareRoot()))
    }

    public func vector(_ parameter: Parameter) -> [Float] {
        let key = mixed(seed ^ hash(parameter))
        // Norms differ from each other and from one, so that a test notices a norm that is left out or misplaced.
        let (middle, width): (Float, Float) = parameter.role == .norm ? (1, 0.5) : (0, 0.02)
        return (0..<parameter.count).map { middle + width * uniform(key &+ UInt64($0)) }
    }

    private func hash(_ parameter: Parameter) -> UInt64 {
        var hash = FNV1a()
        hash.add(utf8: names.module(parameter.name) + (parameter.role == .bias ? ".bias" : ".weight"))
        return hash.value
    }
}

/// SplitMix64's finalizer.
private func mixed(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
}

/// A number in [-1, 1) that bfloat16 represents exactly, so that every float type stores the same weight.
private func uniform(_ key: UInt64) -> Float {
    Float(Int32(truncatingIfNeeded: mixed(key) >> 56) - 128) / 128
}

private struct SyntheticMatrix: MatrixSource {
    let name: String
    let rows: Int
    let columns: Int
    let seed: UInt64
    let scale: Float

    var encoding: MatrixEncoding { .float(.bfloat16) }

    func readFloats(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        var out = out
        // A power of two keeps the product exact in bfloat16.
        let factor = Float(sign: .plus, exponent: scale.exponent, significand: 1)
        for row in rows {
            let base = seed &+ UInt64(row) &* UInt64(self.columns)
            for column in columns {
                out.pointee = factor * uniform(base &+ UInt64(column))
                out += 1
            }
        }
    }

    func readCodes(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Int8>) {
        preconditionFailure("\(name) has no codes")
    }

    func readScales(
        rows: Range<Int>, columns: Range<Int>, into scales: UnsafeMutablePointer<Float>,
        zeroPoints: UnsafeMutablePointer<Float>?
    ) {
        preconditionFailure("\(name) has no scales")
    }

    func release(rows: Range<Int>) {}

    func checkUnchanged() {}
}

import Architectures

/// How published checkpoints store the linear layers of a model, in bits; everything else stays in 16-bit floats.
///
/// Sources: the layouts that the formats' own documents give.
public struct StoredScheme: Sendable {
    public let name: String
    /// Bits of a weight.
    public let bits: Double
    /// Weights that share a scale (and a zero point); nil: a row of the matrix.
    public let groupSize: Int?
    /// Bits of a group's scale and zero point.
    public let groupBits: Double

    /// Every scheme, from the largest weights down.
    public static let all = [
        StoredScheme(name: "none", bits: 16, groupSize: nil, groupBits: 0),
        StoredScheme(name: "w8a16", bits: 8, groupSize: nil, groupBits: 16),
        StoredScheme(name: "w8a8", bits: 8, groupSize: nil, groupBits: 32),
        // A float32 scale for a block of 128 x 128.
        StoredScheme(name: "fp8", bits: 8, groupSize: 128, groupBits: 0.25),
        StoredScheme(name: "int8", bits: 8, groupSize: 128, groupBits: 16),
        // A scale of 16 bits and a zero point of 4.
        StoredScheme(name: "awq", bits: 4, groupSize: 128, groupBits: 20),
        StoredScheme(name: "gptq", bits: 4, groupSize: 128, groupBits: 20),
        StoredScheme(name: "int4", bits: 4, groupSize: 128, groupBits: 16),
        // Open Compute Project's MX: a shared exponent for 32 weights; of experts only.
        StoredScheme(name: "mxfp4", bits: 4, groupSize: 32, groupBits: 8),
    ]

    public static func named(_ name: String) -> StoredScheme? { all.first { $0.name == name } }

    /// Bytes of a share of a parameter.
    func byteCount(_ parameter: Parameter, _ share: ParameterShare) -> Double {
        let isSmall = parameter.isLinear && (name != "mxfp4" || share.copies > 1)
        guard bits < 16, isSmall else { return 2 * Double(share.count) }
        let columns = share.columns.count
        let groups = groupSize.map { (columns + $0 - 1) / $0 } ?? 1
        return (Double(share.count) * bits + Double(share.copies * share.rows.count * groups) * groupBits) / 8
    }
}

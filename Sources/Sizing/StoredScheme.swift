import Architectures

/// How a published checkpoint stores its linear layers, in bits; everything else is in 16-bit floating point.
///
/// The layouts are those of the formats' own documents.
public struct StoredScheme: Hashable, Sendable {
    public let name: String
    /// Bits per weight.
    public let bits: Double
    /// The number of weights that share a scale (and a zero point); nil: a row of the matrix.
    public let groupSize: Int?
    /// Bits per group for its scale and zero point.
    public let groupBits: Double
    /// The matrices that are stored in other schemes.
    public private(set) var exceptions: [ParameterName: StoredScheme] = [:]

    public init(name: String, bits: Double, groupSize: Int?, groupBits: Double) {
        self.name = name
        self.bits = bits
        self.groupSize = groupSize
        self.groupBits = groupBits
    }

    /// Every scheme, in descending order of size.
    public static let all = [
        none,
        StoredScheme(name: "w8a16", bits: 8, groupSize: nil, groupBits: 16),
        StoredScheme(name: "w8a8", bits: 8, groupSize: nil, groupBits: 32),
        // A float32 scale per block of 128 x 128 is 0.25 bits per group of 128.
        StoredScheme(name: "fp8", bits: 8, groupSize: 128, groupBits: 0.25),
        StoredScheme(name: "int8", bits: 8, groupSize: 128, groupBits: 16),
        // A scale of 16 bits and a zero point of 4 bits.
        StoredScheme(name: "awq", bits: 4, groupSize: 128, groupBits: 20),
        StoredScheme(name: "gptq", bits: 4, groupSize: 128, groupBits: 20),
        StoredScheme(name: "int4", bits: 4, groupSize: 128, groupBits: 16),
        // Open Compute Project's MX: 32 weights share an exponent. Only experts are stored this way.
        StoredScheme(name: "mxfp4", bits: 4, groupSize: 32, groupBits: 8),
    ]

    /// Unquantized 16-bit floating point.
    public static let none = StoredScheme(name: "none", bits: 16, groupSize: nil, groupBits: 0)

    public static func named(_ name: String) -> StoredScheme? { all.first { $0.name == name } }

    /// Combines the schemes of a model's matrices; the most common one also applies to matrices that are not listed.
    init(_ schemes: [ParameterName: StoredScheme]) {
        let counts = Dictionary(grouping: schemes.values) { $0 }.mapValues(\.count)
        let ordered = counts.sorted { ($1.value, $0.key.name, $0.key.bits) < ($0.value, $1.key.name, $1.key.bits) }
        let usual = ordered.first?.key ?? .none
        var names: [String] = []
        for name in ordered.map(\.key.name) where !names.contains(name) { names.append(name) }
        // Unquantized layers do not contribute to the name.
        if names.count > 1 { names.removeAll { $0 == Self.none.name } }
        self.init(
            name: names.isEmpty ? Self.none.name : names.joined(separator: "+"), bits: usual.bits,
            groupSize: usual.groupSize, groupBits: usual.groupBits)
        exceptions = schemes.filter { $0.value != usual }
    }

    /// The scheme of one matrix.
    public func scheme(of name: ParameterName) -> StoredScheme { exceptions[name] ?? self }

    /// Bytes of a share of a parameter.
    func byteCount(_ parameter: Parameter, _ share: ParameterShare) -> Double {
        if let exception = exceptions[parameter.name] { return exception.byteCount(parameter, share) }
        let isSmall = parameter.isLinear && (name != "mxfp4" || share.copies > 1)
        guard bits < 16, isSmall else { return 2 * Double(share.count) }
        let columns = share.columns.count
        let groups = groupSize.map { (columns + $0 - 1) / $0 } ?? 1
        return (Double(share.count) * bits + Double(share.copies * share.rows.count * groups) * groupBits) / 8
    }
}

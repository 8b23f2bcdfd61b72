import Checkpoints
import Tensors

/// A round-to-nearest encoding of weights as integers with a scale.
public struct IntegerScheme: Equatable, Sendable {
    /// How many weights share a scale, with the choices that a checkpoint has.
    public typealias Granularity = QuantizationConfiguration.Granularity

    /// The width of a code: 4 or 8.
    public let bits: Int
    public let granularity: Granularity
    /// Whether code 0 always means weight 0; if not, each group has a zero point.
    public let isSymmetric: Bool

    /// Makes a scheme.
    ///
    /// - Throws: `badScheme` for bits other than 4 and 8, or a group of less than 1.
    public init(bits: Int, granularity: Granularity, isSymmetric: Bool = true) throws(QuantizationError) {
        guard bits == 4 || bits == 8 else {
            throw .badScheme(reason: "codes of \(bits) bits are not written; choose 4 or 8")
        }
        if case .group(let size) = granularity, size < 1 {
            throw .badScheme(reason: "a group of \(size) weights cannot be; choose 1 or more, such as 128")
        }
        self.bits = bits
        self.granularity = granularity
        self.isSymmetric = isSymmetric
    }

    /// The number of columns that share a scale, in a row of `columns`: all, if there is one scale per row or per
    /// matrix.
    public func groupSize(columns: Int) -> Int {
        if case .group(let size) = granularity { size } else { max(1, columns) }
    }

    /// The encoding that a matrix gets.
    public func encoding(of matrix: some MatrixSource) -> MatrixEncoding {
        .integer(
            bits: bits,
            WeightGroups(
                size: groupSize(columns: matrix.columns), isSymmetric: isSymmetric, scaleType: scaleType(of: matrix)))
    }

    /// The type of a matrix's scales: that of its floats, so that quantizing while loading gives the same weights as
    /// loading a quantized checkpoint.
    func scaleType(of matrix: some MatrixSource) -> ElementType {
        if case .float(let type) = matrix.encoding { type } else { .float32 }
    }
}

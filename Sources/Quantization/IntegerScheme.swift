import Checkpoints
import Tensors

/// A round-to-nearest encoding of weights as integers with a scale.
public struct IntegerScheme: Equatable, Sendable {
    /// How many weights share a scale; the same choices that a checkpoint declares.
    public typealias Granularity = QuantizationConfiguration.Granularity

    /// 4 or 8.
    public let bits: Int
    public let granularity: Granularity
    /// Whether code 0 means weight 0 everywhere; else each group has a zero point.
    public let isSymmetric: Bool

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

    /// Weights of a row of `columns` that share a scale: all of them where there is one scale a row or less.
    public func groupSize(columns: Int) -> Int {
        if case .group(let size) = granularity { size } else { max(1, columns) }
    }

    /// How a matrix will be encoded.
    public func encoding(of matrix: some MatrixSource) -> MatrixEncoding {
        .integer(
            bits: bits,
            WeightGroups(
                size: groupSize(columns: matrix.columns), isSymmetric: isSymmetric, scaleType: scaleType(of: matrix)))
    }

    /// The type of a matrix's scales: that of its floats, so that quantizing while loading and loading a checkpoint that was
    /// quantized before give the same weights.
    func scaleType(of matrix: some MatrixSource) -> ElementType {
        if case .float(let type) = matrix.encoding { type } else { .float32 }
    }
}

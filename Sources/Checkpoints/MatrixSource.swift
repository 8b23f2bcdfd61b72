import Tensors

/// How the elements of a stored matrix are encoded, whatever the file's layout.
public enum MatrixEncoding: Equatable, Sendable {
    /// Floats: float32, float16 or bfloat16.
    case float(ElementType)
    /// `weight[o, i] = scale[o, i / size] * (code[o, i] - zeroPoint[o, i / size])`, with groups of `size` columns.
    ///
    /// Codes are signed and `bits` wide. With one scale per row, or one for the whole matrix, the group size equals the
    /// number of columns. The last group is shorter if the size does not divide the number of columns.
    case integer(bits: Int, WeightGroups)
}

/// A matrix [rows, columns] that can be read in strips, whatever its storage format.
///
/// Row and column ranges may be any ranges within the matrix; a range outside it is a programming error and traps.
/// `out` must hold as many elements as the strip. All methods may be called from several threads at once.
public protocol MatrixSource: Sendable {
    /// The name of the matrix in its checkpoint, without ".weight".
    var name: String { get }
    /// The number of output features.
    var rows: Int { get }
    /// The number of input features.
    var columns: Int { get }
    /// How the elements are encoded.
    var encoding: MatrixEncoding { get }

    /// Reads the values, dequantized if they are quantized, row-major [rows.count, columns.count].
    func readFloats(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Float>)

    /// Reads the signed codes (int8: -128...127, int4: -8...7), row-major [rows.count, columns.count].
    ///
    /// The encoding must be integer.
    func readCodes(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Int8>)

    /// Reads the scales of the groups that touch `columns`, row-major [rows.count, group count].
    ///
    /// The first group is number `columns.lowerBound / groupSize` of the row. Zero points have the same layout and the
    /// unit of codes; they are 0 if the encoding is symmetric. The encoding must be integer.
    func readScales(
        rows: Range<Int>, columns: Range<Int>, into scales: UnsafeMutablePointer<Float>,
        zeroPoints: UnsafeMutablePointer<Float>?)

    /// Does what `readCodes` and `readScales` do, in one pass, which is cheaper for a source that computes both.
    func readGroups(
        rows: Range<Int>, columns: Range<Int>, codes: UnsafeMutablePointer<Int8>,
        scales: UnsafeMutablePointer<Float>, zeroPoints: UnsafeMutablePointer<Float>?)

    /// Gives the pages of these rows, which are no longer needed, back to the system.
    func release(rows: Range<Int>)

    /// Checks that the files of the matrix were not written to since it was opened; this reads no data.
    ///
    /// - Throws: `changed`.
    func checkUnchanged() throws(CheckpointError)
}

extension MatrixSource {
    public func readGroups(
        rows: Range<Int>, columns: Range<Int>, codes: UnsafeMutablePointer<Int8>,
        scales: UnsafeMutablePointer<Float>, zeroPoints: UnsafeMutablePointer<Float>?
    ) {
        readCodes(rows: rows, columns: columns, into: codes)
        readScales(rows: rows, columns: columns, into: scales, zeroPoints: zeroPoints)
    }

    /// The groups, counted from the start of the row, that overlap `columns`; none for a float encoding.
    public func groups(touching columns: Range<Int>) -> Range<Int> {
        guard case .integer(_, let groups) = encoding, !columns.isEmpty else { return 0..<0 }
        return columns.lowerBound / groups.size..<(columns.upperBound - 1) / groups.size + 1
    }

    /// Traps if a range is not within the matrix.
    func checkBounds(rows rowRange: Range<Int>, columns columnRange: Range<Int>) {
        precondition(
            rowRange.lowerBound >= 0 && rowRange.upperBound <= rows
                && columnRange.lowerBound >= 0 && columnRange.upperBound <= columns,
            "rows \(rowRange), columns \(columnRange) are outside [\(rows), \(columns)] of \(name)")
    }
}

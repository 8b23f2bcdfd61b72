import Tensors

/// How the elements of a stored matrix are encoded, whatever the file's layout.
public enum MatrixEncoding: Equatable, Sendable {
    /// Floats: float32, float16 or bfloat16.
    case float(ElementType)
    /// `weight[o, i] = scale[o, i / size] * (code[o, i] - zeroPoint[o, i / size])`, with groups of `size` columns.
    ///
    /// Codes are signed and `bits` wide. With one scale a row, or one for the whole matrix, a group's size equals the
    /// number of columns. The last group is short where the size does not divide the columns.
    case integer(bits: Int, WeightGroups)
}

/// A matrix [rows, columns] that can be read in strips, whatever its storage format.
///
/// Row ranges and column ranges may be any within the matrix (a range outside it is a mistake of the caller and
/// traps), `out` holds as many elements as the strip, and all methods may be called from several threads at once.
public protocol MatrixSource: Sendable {
    /// The name of the matrix in its checkpoint, without ".weight".
    var name: String { get }
    /// Output features.
    var rows: Int { get }
    /// Input features.
    var columns: Int { get }
    /// What the codes and scales, or the floats, mean.
    var encoding: MatrixEncoding { get }

    /// Reads the values, dequantized if need be, row-major [rows.count, columns.count].
    func readFloats(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Float>)

    /// Reads the signed codes (int8: -128...127, int4: -8...7), row-major [rows.count, columns.count].
    ///
    /// The encoding must be integer.
    func readCodes(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Int8>)

    /// Reads the scales of the groups that touch `columns`, row-major [rows.count, group count].
    ///
    /// The first group is `columns.lowerBound / groupSize` of the whole matrix. Zero points come alike, in units of
    /// codes, 0 where the encoding is symmetric. The encoding must be integer.
    func readScales(
        rows: Range<Int>, columns: Range<Int>, into scales: UnsafeMutablePointer<Float>,
        zeroPoints: UnsafeMutablePointer<Float>?)

    /// What `readCodes` and `readScales` give, in one pass: cheaper for a source that computes them.
    func readGroups(
        rows: Range<Int>, columns: Range<Int>, codes: UnsafeMutablePointer<Int8>,
        scales: UnsafeMutablePointer<Float>, zeroPoints: UnsafeMutablePointer<Float>?)

    /// Gives the pages of these rows back to the system: they are no longer needed.
    func release(rows: Range<Int>)

    /// Checks that what was read since the matrix was opened is what was there then: cheap, no data is read.
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

    /// The groups (numbered over the whole row) that touch `columns`; for a float encoding, none.
    public func groups(touching columns: Range<Int>) -> Range<Int> {
        guard case .integer(_, let groups) = encoding, !columns.isEmpty else { return 0..<0 }
        return columns.lowerBound / groups.size..<(columns.upperBound - 1) / groups.size + 1
    }

    /// Traps unless both ranges lie within the matrix.
    func checkBounds(rows rowRange: Range<Int>, columns columnRange: Range<Int>) {
        precondition(
            rowRange.lowerBound >= 0 && rowRange.upperBound <= rows
                && columnRange.lowerBound >= 0 && columnRange.upperBound <= columns,
            "rows \(rowRange), columns \(columnRange) are outside [\(rows), \(columns)] of \(name)")
    }
}

import Checkpoints
import Tensors
import Weights

/// A matrix of floats each of whose rows is divided by its Euclidean norm (Baichuan 2's NormHead).
struct NormalizedRows: MatrixSource {
    private let base: any MatrixSource

    /// - Throws: `ModelError.cannotNormalize` for a matrix of integers.
    init(_ base: any MatrixSource) throws {
        guard case .float = base.encoding else { throw ModelError.cannotNormalize(tensor: base.name) }
        self.base = base
    }

    var name: String { base.name }
    var rows: Int { base.rows }
    var columns: Int { base.columns }
    var encoding: MatrixEncoding { base.encoding }

    func readFloats(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: self.columns) { buffer in
            guard let whole = buffer.baseAddress else { return }
            for (index, row) in rows.enumerated() {
                base.readFloats(rows: row..<row + 1, columns: 0..<self.columns, into: whole)
                var squares: Float = 0
                for column in 0..<self.columns { squares += whole[column] * whole[column] }
                // The reference keeps rows of zeros as they are.
                let norm = max(squares.squareRoot(), 1e-12)
                let target = out + index * columns.count
                for (place, column) in columns.enumerated() { target[place] = whole[column] / norm }
            }
        }
    }

    func readCodes(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Int8>) {
        preconditionFailure("\(name) is stored as floats and has no codes")
    }

    func readScales(
        rows: Range<Int>, columns: Range<Int>, into scales: UnsafeMutablePointer<Float>,
        zeroPoints: UnsafeMutablePointer<Float>?
    ) {
        preconditionFailure("\(name) is stored as floats and has no scales")
    }

    func release(rows: Range<Int>) { base.release(rows: rows) }

    func checkUnchanged() throws(CheckpointError) { try base.checkUnchanged() }
}

import Architectures
import Checkpoints

/// A view of a stored matrix: some of its rows in another order, or its transpose.
///
/// It reads a parameter that shares a tensor with others.
struct MatrixView: MatrixSource {
    let base: any MatrixSource
    let rowMap: StoredRows
    let rows: Int
    let isTransposed: Bool

    var name: String { base.name }
    var columns: Int { isTransposed ? base.rows : base.columns }
    var encoding: MatrixEncoding { base.encoding }

    /// Calls `body` with each run of stored rows and the index, among the wanted rows, of the run's first row.
    private func forEachRun(of rows: Range<Int>, _ body: (_ stored: Range<Int>, _ first: Int) -> Void) {
        var first = 0
        for run in rowMap.runs(of: rows) {
            body(run, first)
            first += run.count
        }
    }

    func readFloats(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        forEachRun(of: rows) { run, first in
            let out = out + first * columns.count
            guard isTransposed else { return base.readFloats(rows: run, columns: columns, into: out) }
            // A stored row holds one input feature for all outputs.
            withUnsafeTemporaryAllocation(of: Float.self, capacity: run.count) { buffer in
                guard let stored = buffer.baseAddress else { return }
                for (index, column) in columns.enumerated() {
                    base.readFloats(rows: column..<column + 1, columns: run, into: stored)
                    for row in 0..<run.count { out[row * columns.count + index] = stored[row] }
                }
            }
        }
    }

    func readCodes(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Int8>) {
        precondition(!isTransposed, "only floats are read transposed")
        forEachRun(of: rows) { run, first in
            base.readCodes(rows: run, columns: columns, into: out + first * columns.count)
        }
    }

    func readScales(
        rows: Range<Int>, columns: Range<Int>, into scales: UnsafeMutablePointer<Float>,
        zeroPoints: UnsafeMutablePointer<Float>?
    ) {
        let groupCount = groups(touching: columns).count
        forEachRun(of: rows) { run, first in
            base.readScales(
                rows: run, columns: columns, into: scales + first * groupCount,
                zeroPoints: zeroPoints.map { $0 + first * groupCount })
        }
    }

    func release(rows: Range<Int>) {
        // The rows of a transposed matrix are spread over all of it; releasing them would also release unread ones.
        guard !isTransposed else { return }
        forEachRun(of: rows) { run, _ in base.release(rows: run) }
    }

    func checkUnchanged() throws(CheckpointError) {
        try base.checkUnchanged()
    }
}

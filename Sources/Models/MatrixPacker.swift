import Architectures
import Checkpoints
import Kernels
import Layers
import Quantization
import Tensors
import Topology

/// Some rows of a stored matrix, which are stacked with other pieces into a layer's weight.
struct MatrixPiece {
    let source: any MatrixSource
    let rows: Range<Int>
    let format: ComputeFormat
}

/// Packs weights for the kernels in strips of 16 rows, each on the worker that will read it.
struct MatrixPacker {
    let pool: WorkerPool

    /// Stacks the pieces' rows, restricted to `columns`, with one segment for each run of pieces of the same format.
    func pack(_ pieces: [MatrixPiece], columns: Range<Int>, layout: ContractionLayout, group: ShardGroup?) throws
        -> WeightMatrix
    {
        var segments: [WeightMatrix.Segment] = []
        var firstRow = 0
        var index = 0
        while index < pieces.count {
            let first = pieces[index]
            let run = pieces[index...].prefix { $0.format == first.format }
            let rowCount = run.reduce(0) { $0 + $1.rows.count }
            let matrix = try PackedMatrix(
                format: first.format, rows: rowCount, run: layout.run,
                sliceEnds: layout.sliceEnds(of: columns, in: group ?? ShardGroup(count: 1)),
                offset: columns.lowerBound)
            fill(matrix, from: Array(run), columns: columns)
            for piece in run { try (piece.source as? QuantizingSource)?.checkFinite() }
            segments.append(WeightMatrix.Segment(matrix: matrix, firstRow: firstRow))
            firstRow += rowCount
            index += run.count
        }
        return WeightMatrix(segments: segments)
    }

    private func fill(_ matrix: PackedMatrix, from pieces: [MatrixPiece], columns: Range<Int>) {
        pool.forEachWorker { worker, workerCount in
            // The same division as in the kernels, so that pages are local to the worker that reads them.
            let panels = matrix.panelCount * worker / workerCount..<matrix.panelCount * (worker + 1) / workerCount
            var strip = Strip(matrix: matrix)
            defer { strip.deallocate() }
            for panel in panels { strip.pack(panel, of: matrix, from: pieces, columns: columns) }
        }
    }
}

/// One worker's buffers for a strip of 16 rows.
private struct Strip {
    private let floats: UnsafeMutablePointer<Float>
    private let codes: UnsafeMutablePointer<Int8>
    private let scales: UnsafeMutablePointer<Float>
    private let zeros: UnsafeMutablePointer<Float>

    init(matrix: PackedMatrix) {
        let rows = ComputeFormat.panelRows
        let isFloat = matrix.format.groups == nil
        floats = .allocate(capacity: isFloat ? rows * max(1, matrix.columns) : 1)
        codes = .allocate(capacity: isFloat ? 1 : rows * max(1, matrix.columns))
        scales = .allocate(capacity: max(1, rows * matrix.groupCount))
        zeros = .allocate(capacity: max(1, rows * matrix.groupCount))
    }

    func deallocate() {
        floats.deallocate()
        codes.deallocate()
        scales.deallocate()
        zeros.deallocate()
    }

    mutating func pack(_ panel: Int, of matrix: PackedMatrix, from pieces: [MatrixPiece], columns: Range<Int>) {
        let wanted = panel * ComputeFormat.panelRows..<min((panel + 1) * ComputeFormat.panelRows, matrix.rows)
        var pieceStart = 0
        for piece in pieces {
            defer { pieceStart += piece.rows.count }
            let overlap = wanted.clamped(to: pieceStart..<pieceStart + piece.rows.count)
            guard !overlap.isEmpty else { continue }
            let first = overlap.lowerBound - pieceStart + piece.rows.lowerBound
            let rows = first..<first + overlap.count
            let offset = overlap.lowerBound - wanted.lowerBound
            if matrix.format.groups == nil {
                piece.source.readFloats(rows: rows, columns: columns, into: floats + offset * matrix.columns)
            } else {
                piece.source.readGroups(
                    rows: rows, columns: columns, codes: codes + offset * matrix.columns,
                    scales: scales + offset * matrix.groupCount,
                    zeroPoints: matrix.hasZeros ? zeros + offset * matrix.groupCount : nil)
            }
            piece.source.release(rows: rows)
        }
        if matrix.format.groups == nil {
            matrix.packFloats(panel: panel, rows: floats, rowCount: wanted.count)
        } else {
            matrix.packCodes(
                panel: panel, rows: codes, scales: scales, zeros: matrix.hasZeros ? zeros : nil, rowCount: wanted.count)
        }
    }
}

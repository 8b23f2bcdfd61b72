import Architectures
import Checkpoints
import Kernels
import Layers
import Tensors

/// The way from tokens to the input of the first layer: embedding, projection, positions, norm.
struct Entrance {
    let table: StoredTable
    /// From embedding rows to the hidden size; nil: these are equal.
    let projection: ColumnParallelLinear?
    let norm: Norm?
    let positions: StoredTable?
    let configuration: EmbeddingConfiguration

    /// Writes the tokens' rows `[tokens, hidden]`.
    func callAsFunction(_ tokens: UnsafeBufferPointer<Int32>, into hidden: Activations, _ step: Step) throws {
        // Reading the mapping of a file that was cut short would end the process.
        try checkUnchanged()
        let mark = step.backend.arena.mark
        defer { step.backend.arena.rewind(to: mark) }
        let rows =
            projection.map { _ in
                step.backend.makeActivations(tokenCount: tokens.count, width: table.width)
            } ?? hidden
        for (row, token) in tokens.enumerated() {
            let out = rows.elements + row * rows.stride
            table.read(row: Int(token), into: out)
            if configuration.scale != 1 { for i in 0..<rows.width { out[i] *= configuration.scale } }
        }
        projection?.write(rows, into: hidden, step)
        step.backend.arena.rewind(to: mark)
        if let positions {
            let added = step.backend.makeActivations(tokenCount: 1, width: hidden.width)
            let offset = configuration.learnedPositions?.offset ?? 0
            for row in tokens.indices {
                let out = hidden.elements + row * hidden.stride
                positions.read(row: Int(step.slots[row].position) + offset, into: added.elements)
                for i in 0..<hidden.width { out[i] += added.elements[i] }
            }
        }
        norm?.normalize(hidden, step)
        // Checked again, so that no token is drawn from rows that changed meanwhile.
        try checkUnchanged()
    }

    private func checkUnchanged() throws {
        try table.checkUnchanged()
        try positions?.checkUnchanged()
    }
}

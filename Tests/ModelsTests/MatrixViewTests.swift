import Architectures
import Checkpoints
import Tensors
import Testing

@testable import Models
@testable import Weights

/// A matrix whose elements encode their own positions.
private struct NumberedMatrix: MatrixSource {
    let name = "numbered"
    let rows: Int
    let columns: Int
    var encoding: MatrixEncoding = .float(.float32)

    static func value(_ row: Int, _ column: Int) -> Float { Float(row * 100 + column) }

    func readFloats(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        for (i, row) in rows.enumerated() {
            for (j, column) in columns.enumerated() { out[i * columns.count + j] = Self.value(row, column) }
        }
    }

    func readCodes(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Int8>) {
        for (i, row) in rows.enumerated() {
            for (j, column) in columns.enumerated() { out[i * columns.count + j] = Int8(row * 7 + column) }
        }
    }

    func readScales(
        rows: Range<Int>, columns: Range<Int>, into scales: UnsafeMutablePointer<Float>,
        zeroPoints: UnsafeMutablePointer<Float>?
    ) {
        let groups = groups(touching: columns)
        for (i, row) in rows.enumerated() {
            for (j, group) in groups.enumerated() {
                scales[i * groups.count + j] = Float(row * 10 + group)
                zeroPoints?[i * groups.count + j] = Float(row - group)
            }
        }
    }

    func release(rows: Range<Int>) {}

    func checkUnchanged() {}
}

@Suite struct MatrixViewTests {
    /// The key's rows in a model with interleaved pairs whose heads are fused by key-value head.
    private func keys() throws -> StoredRows {
        let description = try ModelDescription(
            ConfigurationFile(
                data: .init(
                    """
                    {"model_type": "chatglm", "hidden_size": 8, "num_layers": 1, "num_attention_heads": 1, "kv_channels": 8,
                     "ffn_hidden_size": 10, "padded_vocab_size": 7, "seq_length": 9}
                    """.utf8), path: "model"))
        let key = try #require(description.decoder.parameters().first { $0.name == .key(layer: 0) })
        return description.names.sources(of: key, in: description.decoder)[0].rows
    }

    @Test func rowsComeInTheOrderOfTheMap() throws {
        let view = MatrixView(
            base: NumberedMatrix(rows: 24, columns: 5), rowMap: try keys(), rows: 8, isTransposed: false)
        var found = [Float](repeating: 0, count: 6 * 3)
        view.readFloats(rows: 1..<7, columns: 1..<4, into: &found)
        let expected = [10, 9, 11, 12, 13, 14].flatMap { row in (1..<4).map { NumberedMatrix.value(row, $0) } }
        #expect(found == expected && view.columns == 5)
    }

    @Test func codesAndScalesComeWithTheirRows() throws {
        let groups = WeightGroups(size: 2, isSymmetric: false)
        let base = NumberedMatrix(rows: 24, columns: 5, encoding: .integer(bits: 8, groups))
        let view = MatrixView(base: base, rowMap: try keys(), rows: 8, isTransposed: false)
        var codes = [Int8](repeating: 0, count: 2 * 3)
        var scales = [Float](repeating: 0, count: 2 * 2)
        var zeros = scales
        view.readGroups(rows: 1..<3, columns: 1..<4, codes: &codes, scales: &scales, zeroPoints: &zeros)
        #expect(codes == [71, 72, 73, 64, 65, 66])
        #expect(scales == [100, 101, 90, 91] && zeros == [10, 9, 9, 8])
    }

    @Test func aTransposeIsReadByColumns() {
        // The stored matrix is [input 5, output 24], so outputs are its columns.
        let view = MatrixView(
            base: NumberedMatrix(rows: 5, columns: 24), rowMap: StoredRows(), rows: 24, isTransposed: true)
        var found = [Float](repeating: 0, count: 3 * 2)
        view.readFloats(rows: 20..<23, columns: 2..<4, into: &found)
        #expect(found == (20..<23).flatMap { row in (2..<4).map { NumberedMatrix.value($0, row) } })
        #expect(view.columns == 5)
    }
}

import Foundation
import Tensors
import Testing

@testable import Checkpoints

/// The repository's root.
private let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path

/// Checkpoints that other tools wrote, and the one that we ship.
@Suite struct GoldenCheckpointTests {
    /// A value of `values.json`.
    private struct Entry: Decodable {
        let matrix: String
        let row: Int
        let column: Int
        let value: Float

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            matrix = try container.decode(String.self)
            row = try container.decode(Int.self)
            column = try container.decode(Int.self)
            value = try container.decode(Float.self)
        }
    }

    /// Values computed in Python (`Tests/Golden/quantized/make_values.py`) equal ours to the bit: an 8-bit code times
    /// an 8-bit scale is exact.
    @Test func valuesEqualThoseOfPython() throws {
        let golden = "\(repository)/Tests/Golden/quantized"
        let data = try Data(contentsOf: URL(fileURLWithPath: golden + "/values.json"))
        let expected = try JSONDecoder().decode([String: [Entry]].self, from: data)
        #expect(expected.count == 2)
        for (directory, entries) in expected {
            let checkpoint = try Checkpoint(directory: "\(golden)/\(directory)")
            let quantization = try #require(try checkpoint.quantizationConfiguration())
            #expect(entries.count >= 56)
            for entry in entries {
                let matrix = try checkpoint.matrix(named: entry.matrix, quantization: quantization)
                let value = matrix.floats(rows: entry.row..<entry.row + 1, columns: entry.column..<entry.column + 1)
                #expect(value == [entry.value], "\(directory) \(entry.matrix) [\(entry.row), \(entry.column)]")
            }
            // The head is excluded and stays a matrix of floats.
            let head = try checkpoint.matrix(named: "lm_head", quantization: quantization)
            #expect(head.encoding == .float(.bfloat16))
        }
    }

    @Test func theShippedModel() throws {
        let checkpoint = try Checkpoint(directory: "\(repository)/Models/tale-23m")
        let quantization = try checkpoint.quantizationConfiguration()
        let bases = checkpoint.tensorNames.filter { $0.hasSuffix(".weight_packed") }.map { String($0.dropLast(14)) }
        #expect(bases.count == 42)
        for base in bases {
            let matrix = try checkpoint.matrix(named: base, quantization: quantization)
            #expect(matrix.encoding == .integer(bits: 8, WeightGroups(size: 128, scaleType: .bfloat16)))
            let scales = matrix.scales(rows: 0..<matrix.rows, columns: 0..<matrix.columns).scales
            #expect(scales.allSatisfy { $0 > 0 && $0 < 1 })
        }
        let embedding = try checkpoint.matrix(named: "model.embed_tokens", quantization: quantization)
        #expect(embedding.encoding == .float(.bfloat16) && embedding.rows == 8192)
        #expect(try checkpoint.vector(named: "model.norm.weight").count == 512)
    }

    /// Writes some rows of every quantized matrix of TRIREME_DUMP_MODEL, as the bit patterns of floats, to
    /// TRIREME_DUMP_FILE; for `Tests/Golden/open_with_compressed_tensors.sh`.
    @Test(.enabled("run by open_with_compressed_tensors.sh") { environment("TRIREME_DUMP_MODEL") != nil })
    func dumpRows() throws {
        let directory = try #require(environment("TRIREME_DUMP_MODEL"))
        let checkpoint = try Checkpoint(directory: directory)
        let quantization = try checkpoint.quantizationConfiguration()
        var dump: [String: [String: [UInt32]]] = [:]
        for name in checkpoint.tensorNames where name.hasSuffix(".weight_packed") {
            let base = String(name.dropLast(14))
            let matrix = try checkpoint.matrix(named: base, quantization: quantization)
            for row in Set([0, 1, 9, matrix.rows / 2, matrix.rows - 1]) {
                let values = matrix.floats(rows: row..<row + 1, columns: 0..<matrix.columns)
                dump[base, default: [:]]["\(row)"] = values.map(\.bitPattern)
            }
        }
        let path = try #require(environment("TRIREME_DUMP_FILE"))
        try JSONEncoder().encode(dump).write(to: URL(fileURLWithPath: path))
    }
}

private func environment(_ name: String) -> String? {
    ProcessInfo.processInfo.environment[name]
}

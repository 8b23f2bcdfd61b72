import Checkpoints
import Foundation
import Tensors
import Testing

@testable import Quantization

/// A directory with a model, inside one that has room for outputs.
final class TestModel {
    let root = NSTemporaryDirectory() + "/quantization-\(UUID().uuidString)"
    var model: String { root + "/model" }
    var output: String { root + "/output" }
    static let configuration = "{\n  \"model_type\": \"llama\",\n  \"rms_norm_eps\": 1e-05,\n  \"scale\": 1.0\n}\n"

    init() throws {
        try FileManager.default.createDirectory(atPath: model, withIntermediateDirectories: true)
        try write("config.json", Self.configuration)
        try write("tokenizer.json", "{}")
        try write("notes.txt", "not copied")
    }

    deinit {
        try? FileManager.default.removeItem(atPath: root)
    }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: "\(model)/\(name)"))
    }

    /// Writes bfloat16 tensors; the value of an element is `value` of its index, or a pattern.
    func writeWeights(
        _ shapes: KeyValuePairs<String, [Int]>, type: ElementType = .bfloat16, value: ((Int) -> Float)? = nil
    ) throws {
        let descriptions = shapes.map { TensorDescription(name: $0.key, type: type, shape: $0.value) }
        let writer = try SafetensorsWriter(path: "\(model)/model.safetensors", tensors: descriptions)
        for (index, description) in descriptions.enumerated() {
            let count = description.shape.reduce(1, *)
            let bits = (0..<count).flatMap { element -> [UInt8] in
                let number = value?(element) ?? Float(element * 7919 % 1009 - 500) / 256
                let bits = type == .float16 ? Float16(number).bitPattern : BFloat16(number).bitPattern
                return [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
            }
            try bits.withUnsafeBytes { try writer.append($0, to: index) }
        }
        try writer.finish()
    }

    /// Two layers with shapes of every parity, and tensors that must not be changed.
    func writeSmallModel(type: ElementType = .bfloat16) throws {
        try writeWeights(
            [
                "model.embed_tokens.weight": [7, 32], "model.norm.weight": [32], "lm_head.weight": [7, 32],
                "model.layers.0.self_attn.q_proj.weight": [67, 32], "model.layers.0.self_attn.q_proj.bias": [67],
                "model.layers.0.mlp.gate.weight": [3, 32], "model.layers.1.mlp.down_proj.weight": [5, 96],
                "vision.q_proj.weight": [4, 32],
            ], type: type)
    }

    func names(in directory: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
    }

    func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
    }
}

@Suite struct CheckpointQuantizerTests {
    let model: TestModel

    init() throws {
        model = try TestModel()
    }

    func quantize(
        bits: Int = 8, _ granularity: IntegerScheme.Granularity = .group(32), symmetric: Bool = true,
        output: String? = nil, shardByteCount: Int = 1 << 30, isCancelled: () -> Bool = { false }
    ) throws -> CheckpointQuantizer.Summary {
        try CheckpointQuantizer(
            model: model.model, output: output ?? model.output,
            scheme: IntegerScheme(bits: bits, granularity: granularity, isSymmetric: symmetric),
            maximumShardByteCount: shardByteCount
        ).run(isCancelled: isCancelled)
    }

    /// What is written reads back as `QuantizingSource` computes it, for every scheme and scale type.
    @Test(arguments: [ElementType.bfloat16, .float16], [4, 8])
    func whatIsWrittenReadsBack(type: ElementType, bits: Int) throws {
        try model.writeSmallModel(type: type)
        let original = try Checkpoint(directory: model.model)
        for (number, granularity) in [IntegerScheme.Granularity.group(16), .channel, .tensor].enumerated() {
            for symmetric in [true, false] {
                let output = "\(model.output)-\(number)-\(symmetric)"
                let summary = try quantize(bits: bits, granularity, symmetric: symmetric, output: output)
                #expect(summary.quantizedCount == 2)
                let written = try Checkpoint(directory: output)
                #expect(summary.bytesAfter == written.weightFileByteCount)
                let configuration = try #require(try written.quantizationConfiguration())
                #expect(configuration.ignored == ["lm_head", "model.layers.0.mlp.gate", "vision.q_proj"])
                for name in ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"] {
                    let matrix = try written.matrix(named: name, quantization: configuration)
                    let expected = try QuantizingSource(
                        original.matrix(named: name, quantization: nil),
                        scheme: IntegerScheme(bits: bits, granularity: granularity, isSymmetric: symmetric))
                    #expect(matrix.encoding == expected.encoding)
                    let (rows, columns) = (0..<matrix.rows, 0..<matrix.columns)
                    let strip = matrix.integers(rows: rows, columns: columns)
                    #expect(strip == expected.integers(rows: rows, columns: columns))
                    #expect(written.tensor(named: "\(name).weight") == nil)
                }
                for name in ["model.embed_tokens", "lm_head", "vision.q_proj", "model.norm"].map({ "\($0).weight" }) {
                    let (old, new) = (original.tensor(named: name), written.tensor(named: name))
                    #expect(old?.description == new?.description)
                    #expect(old.map { Array($0.bytes) } == new.map { Array($0.bytes) })
                }
            }
        }
    }

    @Test func theDirectoryIsCompleteAndFaithful() throws {
        try model.writeSmallModel()
        _ = try quantize()
        #expect(model.names(in: model.output) == ["config.json", "model.safetensors", "tokenizer.json"])
        #expect(model.names(in: model.root) == ["model", "output"])
        let merged = try model.text(model.output + "/config.json")
        // Byte for byte up to the last member: 1e-05 and 1.0 keep their spelling.
        #expect(merged.hasPrefix(String(TestModel.configuration.dropLast(3)) + ",\n  \"quantization_config\": {"))
        // An existing empty directory is filled; one that is not empty is refused.
        let empty = model.root + "/empty"
        try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: false)
        _ = try quantize(output: empty + "/")
        #expect(model.names(in: empty).count == 3)
        #expect(throws: QuantizationError.outputExists(path: empty)) { try quantize(output: empty) }
    }

    @Test func shards() throws {
        try model.writeSmallModel()
        _ = try quantize(output: model.root + "/one")
        _ = try quantize(shardByteCount: 2000)
        let names = model.names(in: model.output).filter { $0.hasPrefix("model-") }
        #expect(names.count > 1)
        #expect(names.last == "model-0000\(names.count)-of-0000\(names.count).safetensors")
        let (whole, divided) = (
            try Checkpoint(directory: model.root + "/one"), try Checkpoint(directory: model.output)
        )
        #expect(whole.tensorNames == divided.tensorNames)
        for name in whole.tensorNames {
            let bytes = [whole, divided].map { $0.tensor(named: name).map { Array($0.bytes) } }
            #expect(bytes[0] == bytes[1])
        }
    }

    @Test func aRunThatFailsLeavesNothing() throws {
        try model.writeWeights(
            ["model.layers.0.mlp.up_proj.weight": [200, 32]], value: { $0 == 150 * 32 + 3 ? .infinity : 1 })
        #expect(throws: QuantizationError.notFinite(tensor: "model.layers.0.mlp.up_proj", row: 150)) { try quantize() }
        #expect(throws: QuantizationError.notFinite(tensor: "model.layers.0.mlp.up_proj", row: 150)) {
            try quantize(.tensor)
        }
        try model.writeSmallModel()
        for limit in 0..<12 {
            var count = 0
            #expect(throws: QuantizationError.interrupted) {
                try quantize(isCancelled: {
                    count += 1
                    return count > limit || count > 8
                })
            }
            #expect(model.names(in: model.root) == ["model"])
        }
    }

    @Test func inputsThatAreRefused() throws {
        #expect(throws: QuantizationError.checkpoint(.noWeights(directory: model.model))) { try quantize() }
        try model.writeWeights(["model.norm.weight": [8]])
        #expect(throws: QuantizationError.nothingToQuantize(directory: model.model)) { try quantize() }
        try model.writeSmallModel()
        #expect(
            throws: QuantizationError.unevenGroups(
                tensor: "model.layers.0.self_attn.q_proj.weight", columns: 32, groupSize: 24)
        ) { try quantize(.group(24)) }
        for text in ["", "[]", "{\"a\":1", "{\"a\":nan}", "{}x"] {
            try model.write("config.json", text)
            #expect(throws: QuantizationError.self, "\(text)") { try quantize() }
        }
        let path = model.model + "/config.json"
        for key in ["quantization_config", "compression_config"] {
            try model.write("config.json", "{\"\(key)\": {}}")
            #expect(throws: QuantizationError.alreadyQuantized(path: path)) { try quantize() }
        }
        // What Python reads is kept as it stands.
        try model.write("config.json", "{\"a\": NaN, \"a\": 2}")
        _ = try quantize()
        let written = try String(contentsOfFile: model.output + "/config.json", encoding: .utf8)
        #expect(written.hasPrefix("{\"a\": NaN, \"a\": 2,"))
        try FileManager.default.removeItem(atPath: model.output)
        try model.write("config.json", "{ }")
        _ = try quantize()
        try FileManager.default.removeItem(atPath: path)
        #expect(throws: QuantizationError.checkpoint(.missingFile(path: path, reason: "the model's configuration"))) {
            try quantize(output: model.root + "/b")
        }
        #expect(model.names(in: model.root) == ["model", "output"])
    }

    /// The input cannot be overwritten under any of its names.
    @Test func theInputIsNeverTheOutput() throws {
        try model.writeSmallModel()
        let link = model.root + "/link"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: model.model)
        let before = model.names(in: model.model)
        for output in [
            model.model, model.model + "/", link, link + "/inside", model.model + "/inside",
            model.root + "/../" + (model.root as NSString).lastPathComponent + "/model/inside",
        ] {
            #expect(throws: QuantizationError.outputInsideInput(path: output)) { try quantize(output: output) }
        }
        let file = model.root + "/file"
        try Data().write(to: URL(fileURLWithPath: file))
        #expect(throws: QuantizationError.outputExists(path: file)) { try quantize(output: file) }
        #expect(throws: QuantizationError.self) { try quantize(output: model.root + "/absent/output") }
        #expect(model.names(in: model.model) == before)
    }
}

import Foundation
import Tensors
import Testing

@testable import Checkpoints

@Suite struct CheckpointTests {
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    func shard(_ name: String, value: Float = 1) -> [UInt8] {
        safetensors([Fixture(name, bfloat16: [value, 2], shape: [2])])
    }

    func failure() -> CheckpointError? {
        do {
            _ = try Checkpoint(directory: directory.path)
            return nil
        } catch {
            return error
        }
    }

    @Test func missingInputs() throws {
        let absent = directory.path + "/absent"
        #expect(throws: CheckpointError.noDirectory(path: absent)) { try Checkpoint(directory: absent) }
        let file = try directory.write("file", "x")
        #expect(throws: CheckpointError.noDirectory(path: file)) { try Checkpoint(directory: file) }
        #expect(failure() == .noWeights(directory: directory.path))
        #expect(failure()?.isMissingInput == true)
    }

    @Test func oneFileBeforeAll() throws {
        try directory.write("other.safetensors", shard("b"))
        try directory.write("third.safetensors", shard("c"))
        #expect(try Checkpoint(directory: directory.path).tensorNames == ["b", "c"])
        try directory.write("model.safetensors", shard("a"))
        #expect(try Checkpoint(directory: directory.path).tensorNames == ["a"])
    }

    @Test func duplicatesAcrossFiles() throws {
        try directory.write("1.safetensors", shard("a"))
        try directory.write("2.safetensors", shard("a"))
        #expect(
            failure()
                == .duplicateTensor(
                    name: "a", paths: ["\(directory.path)/1.safetensors", "\(directory.path)/2.safetensors"]))
    }

    @Test func index() throws {
        try directory.write("model-1.safetensors", shard("a"))
        try directory.write("model-2.safetensors", shard("b"))
        try directory.write(
            "model.safetensors.index.json",
            "{\"metadata\":{},\"weight_map\":{\"a\":\"model-1.safetensors\",\"b\":\"model-2.safetensors\"}}")
        let checkpoint = try Checkpoint(directory: directory.path)
        #expect(checkpoint.tensorNames == ["a", "b"])
        #expect(checkpoint.tensor(named: "b")?.path.hasSuffix("model-2.safetensors") == true)
        #expect(checkpoint.tensor(named: "c") == nil)

        try FileManager.default.removeItem(atPath: directory.path + "/model-2.safetensors")
        #expect(
            failure()
                == .missingFile(
                    path: directory.path + "/model-2.safetensors", reason: "named in model.safetensors.index.json"))
        #expect(failure()?.isMissingInput == true)

        try directory.write("model-2.safetensors", shard("c"))
        guard case .malformedTensor("b", _, _)? = failure() else {
            Issue.record("\(String(describing: failure()))")
            return
        }
    }

    @Test func hostileIndex() throws {
        try directory.write("a.safetensors", shard("a"))
        for text in [
            "{", "{}", "{\"weight_map\":[]}", "{\"weight_map\":{}}", "{\"weight_map\":{\"a\":1}}",
            "{\"weight_map\":{\"a\":\"../a.safetensors\"}}", "{\"weight_map\":{\"a\":\"/etc/passwd\"}}",
            "{\"weight_map\":{\"a\":\"..\"}}", "{\"weight_map\":{\"a\":\"\"}}",
            "{\"weight_map\":{\"a\":\"a.safetensors\\u0000\"}}",
        ] {
            try directory.write("model.safetensors.index.json", text)
            guard case .malformedFile(let path, _)? = failure() else {
                Issue.record("\(text): \(String(describing: failure()))")
                continue
            }
            #expect(path.hasSuffix("index.json"))
        }
    }

    @Test func digestTellsCheckpointsApart() throws {
        func digest(_ tensors: [Fixture]) throws -> UInt64 {
            try directory.write("model.safetensors", safetensors(tensors))
            return try Checkpoint(directory: directory.path).digest
        }
        let base = try digest([Fixture("a", .int8, [2, 3], [1, 2, 3, 4, 5, 6])])
        #expect(try digest([Fixture("a", .int8, [2, 3], [1, 2, 3, 4, 5, 7])]) == base)
        #expect(try digest([Fixture("a", .int8, [3, 2], [1, 2, 3, 4, 5, 6])]) != base)
        #expect(try digest([Fixture("a", .uint8, [2, 3], [1, 2, 3, 4, 5, 6])]) != base)
        #expect(try digest([Fixture("b", .int8, [2, 3], [1, 2, 3, 4, 5, 6])]) != base)
    }

    @Test func filesBesideTheWeights() throws {
        try directory.write("model.safetensors", shard("a"))
        try directory.write("config.json", "{\"a\": 1.0}")
        let checkpoint = try Checkpoint(directory: directory.path)
        #expect(try checkpoint.json("config.json") == Data("{\"a\": 1.0}".utf8))
        #expect(try checkpoint.json("generation_config.json") == nil)
        #expect(try checkpoint.quantizationConfiguration() == nil)
    }

    @Test func vectors() throws {
        try directory.write(
            "model.safetensors",
            safetensors([
                Fixture("norm", bfloat16: [1.5, -2, 0.25], shape: [3]),
                Fixture("half", .float16, [2], littleEndian(UInt16(0x3C00)) + littleEndian(UInt16(0xC200))),
                Fixture("matrix", .float32, [1, 1], [0, 0, 0, 0]),
                Fixture("wide", .float64, [1], [UInt8](repeating: 0, count: 8)),
                Fixture("empty", .float32, [0], []),
            ]))
        let checkpoint = try Checkpoint(directory: directory.path)
        #expect(try checkpoint.vector(named: "norm") == [1.5, -2, 0.25])
        #expect(try checkpoint.vector(named: "half") == [1, -3])
        #expect(try checkpoint.vector(named: "empty") == [])
        #expect(throws: CheckpointError.missingTensor(name: "bias", directory: directory.path)) {
            try checkpoint.vector(named: "bias")
        }
        #expect(throws: CheckpointError.self) { try checkpoint.vector(named: "matrix") }
        #expect(throws: CheckpointError.self) { try checkpoint.vector(named: "wide") }
    }

    /// Pages given back read the same again.
    @Test func releasedPagesComeBack() throws {
        let rows = 64
        let bytes = (0..<rows * 1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try directory.write("model.safetensors", safetensors([Fixture("a", .uint8, [rows, 1000], bytes)]))
        let tensor = try #require(try Checkpoint(directory: directory.path).tensor(named: "a"))
        #expect(Array(tensor.bytes) == bytes)
        for start in stride(from: 0, to: rows, by: 16) { tensor.release(rows: start..<start + 16) }
        tensor.release()
        #expect(Array(tensor.bytes) == bytes)
    }
}

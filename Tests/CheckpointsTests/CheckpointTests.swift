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

    /// Weights as pickles are refused with the command that converts them.
    @Test func picklesAreRefused() throws {
        let path = try directory.write("pytorch_model-00001-of-00002.bin", "x")
        let error = try #require(failure())
        #expect(error == .pickled(path: path, directory: directory.path) && !error.isMissingInput)
        #expect(error.description.contains("python3 -c") && error.description.hasSuffix("'\(directory.path)'"))
        try directory.write("model.safetensors", shard("a"))
        #expect(try Checkpoint(directory: directory.path).tensorNames == ["a"])
    }

    @Test func otherPicklesAreNoWeights() throws {
        try directory.write("training_args.bin", "x")
        #expect(failure() == .noWeights(directory: directory.path))
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
    }

    /// If an index disagrees with its files, the files count, as in transformers, and there is one warning.
    @Test func inexactIndex() throws {
        func expect(_ index: [String: String], _ names: [String], warning: String?, in files: [String: String] = [:])
            throws
        {
            let entries = index.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\"\($0.value)\"" }
            try directory.write(
                "model.safetensors.index.json", "{\"weight_map\":{\(entries.joined(separator: ","))}}")
            let checkpoint = try Checkpoint(directory: directory.path)
            #expect(checkpoint.tensorNames == names)
            for (name, file) in files { #expect(checkpoint.tensor(named: name)?.path == "\(directory.path)/\(file)") }
            #expect(checkpoint.warnings.count == (warning == nil ? 0 : 1), "\(checkpoint.warnings)")
            if let warning { #expect(checkpoint.warnings.first?.contains(warning) == true, "\(checkpoint.warnings)") }
        }
        let (one, two) = ("model-1.safetensors", "model-2.safetensors")
        try directory.write(one, shard("a"))
        try directory.write(
            two, safetensors([Fixture("b", bfloat16: [1], shape: [1]), Fixture("c", bfloat16: [2], shape: [1])]))
        try expect(["a": one, "b": two, "c": two], ["a", "b", "c"], warning: nil)
        try expect(
            ["a": one, "b": two, "c": two, "d": two], ["a", "b", "c"],
            warning: "names 1 tensors that its files lack (\"d\")")
        try expect(["a": one, "b": two], ["a", "b", "c"], warning: "leaves out 1 (\"c\")")
        try expect(
            ["a": two, "b": two, "c": one], ["a", "b", "c"], warning: "places 2 in the wrong file (\"a\", \"c\")")
        // Of two copies the one in the file that the index names counts; if it names none, that is an error.
        try directory.write(
            one, safetensors([Fixture("a", bfloat16: [1], shape: [1]), Fixture("b", bfloat16: [9], shape: [1])]))
        try expect(["a": one, "b": two, "c": two], ["a", "b", "c"], warning: nil, in: ["b": two])
        try expect(["a": one, "b": one, "c": two], ["a", "b", "c"], warning: nil, in: ["b": one])
        try directory.write("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"\(one)\",\"c\":\"\(two)\"}}")
        #expect(failure() == .duplicateTensor(name: "b", paths: [one, two].map { "\(directory.path)/\($0)" }))
        // The index is a leftover beside a file that holds everything, whether its shards exist or not.
        try directory.write("model.safetensors", shard("whole"))
        try expect(["a": one], ["whole"], warning: "is not used")
        try expect(["a": "gone.safetensors"], ["whole"], warning: "is not used")
        try expect(["whole": "model.safetensors"], ["whole"], warning: nil)
    }

    /// A link without a target gives an error that says so, whatever its name is.
    @Test func brokenLinks() throws {
        func link(_ name: String, to target: String) throws {
            try? FileManager.default.removeItem(atPath: "\(directory.path)/\(name)")
            try FileManager.default.createSymbolicLink(
                atPath: "\(directory.path)/\(name)", withDestinationPath: target)
        }
        for (name, target) in [
            ("model.safetensors", "model.safetensors"), ("model.safetensors", "/nonesuch"),
            ("other.safetensors", "nonesuch"), ("model.safetensors.index.json", "nonesuch"),
        ] {
            try link(name, to: target)
            let path = "\(directory.path)/\(name)"
            #expect(failure() == .brokenLink(path: path, target: target))
            #expect(failure()?.isMissingInput == true)
            #expect(failure()?.description.contains("index") == name.contains("index"))
            try FileManager.default.removeItem(atPath: path)
        }
        try directory.write("model.safetensors", shard("a"))
        try link("config.json", to: "nonesuch")
        #expect(throws: CheckpointError.brokenLink(path: "\(directory.path)/config.json", target: "nonesuch")) {
            try Checkpoint(directory: directory.path).json("config.json")
        }
        #expect(throws: CheckpointError.brokenLink(path: "\(directory.path)/loop", target: "loop")) {
            try link("loop", to: "loop")
            return try Checkpoint(directory: "\(directory.path)/loop")
        }
    }

    @Test func pointersOfGit() throws {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9088\n"
        for name in ["model.safetensors", "model.safetensors.index.json", "config.json"] {
            try directory.write("model.safetensors", shard("a"))
            try directory.write(name, pointer)
            let error =
                failure()
                ?? { () -> CheckpointError? in
                    do throws(CheckpointError) {
                        _ = try Checkpoint(directory: directory.path).quantizationConfiguration()
                        return nil
                    } catch { return error }
                }()
            #expect(
                error?.description.contains("\(name): it is a Git LFS pointer") == true, "\(String(describing: error))")
            try FileManager.default.removeItem(atPath: "\(directory.path)/\(name)")
        }
    }

    /// Names are shown escaped and short in every message.
    @Test func namesInMessages() throws {
        let hostile = "\u{1B}[2J\nx\u{202E}" + String(repeating: "a", count: 100_000)
        let path = "/tmp/\(hostile)"
        let errors: [CheckpointError] = [
            .noDirectory(path: path), .missingFile(path: path, reason: "r"), .brokenLink(path: path, target: hostile),
            .unreadable(path: path, reason: "r"), .noRoom(path: path, byteCount: 1), .noWeights(directory: path),
            .pickled(path: path, directory: path),
            .malformedFile(path: path, problem: "p"), .pointer(path: path, hint: "h"),
            .truncated(path: path, missingByteCount: 1), .changed(path: path),
            .malformedTensor(name: hostile, path: path, problem: "p"),
            .duplicateTensor(name: hostile, paths: [path, path]), .missingTensor(name: hostile, directory: path),
            .unsupported(path: path, feature: "f"), .unwritable(path: path, reason: "r"),
        ]
        for error in errors {
            let text = error.description
            #expect(
                text.count < 1500 && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0 != "\u{202E}" }, "\(text)")
        }
        for entry in [
            "\"dtype\":\"BF16\\n\\u001b\",\"shape\":[2],\"data_offsets\":[0,4]",
            "\"dtype\":\"BF16\",\"shape\":[\(String(repeating: "1,", count: 5000))3],\"data_offsets\":[0,4]",
            "\"dtype\":\"BF16\",\"shape\":[\(String(repeating: "1", count: 5000))],\"data_offsets\":[0,4]",
        ] {
            try directory.write("model.safetensors", safetensors(header: "{\"x\":{\(entry)}}", data: [0, 0, 0, 0]))
            let text = try #require(failure()).description
            #expect(text.count < 1500 && !text.contains("\n") && !text.contains("\u{1B}"), "\(text)")
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

    @Test func digestsTellCheckpointsApart() throws {
        func digests(_ tensors: [Fixture]) throws -> (layout: UInt64, content: UInt64) {
            try directory.write("model.safetensors", safetensors(tensors))
            let checkpoint = try Checkpoint(directory: directory.path)
            return (checkpoint.layoutDigest, try checkpoint.contentDigest())
        }
        let base = try digests([Fixture("a", .int8, [2, 3], [1, 2, 3, 4, 5, 6])])
        let other = try digests([Fixture("a", .int8, [2, 3], [1, 2, 3, 4, 5, 7])])
        #expect(other.layout == base.layout && other.content != base.content)
        #expect(try digests([Fixture("a", .int8, [2, 3], [1, 2, 3, 4, 5, 6])]) == base)
        #expect(try digests([Fixture("a", .int8, [3, 2], [1, 2, 3, 4, 5, 6])]).layout != base.layout)
        #expect(try digests([Fixture("a", .uint8, [2, 3], [1, 2, 3, 4, 5, 6])]).layout != base.layout)
        #expect(try digests([Fixture("b", .int8, [2, 3], [1, 2, 3, 4, 5, 6])]).layout != base.layout)
        // In a large tensor both ends and places between them are sampled.
        let bytes = [UInt8](repeating: 3, count: 100_000)
        let large = try digests([Fixture("a", .uint8, [100_000], bytes)])
        for index in [0, 63, (100_000 - 64) * 7 / 15, 99_936, 99_999] {
            var changed = bytes
            changed[index] = 4
            #expect(try digests([Fixture("a", .uint8, [100_000], changed)]).content != large.content, "\(index)")
        }
    }

    /// Writing to an open file is noticed; a new file under its name is another file.
    @Test func changesAreNoticed() throws {
        let path = try directory.write("model.safetensors", shard("a"))
        let checkpoint = try Checkpoint(directory: directory.path)
        let matrix = try SafetensorsFile(path: path).tensors[0]
        try checkpoint.checkUnchanged()
        let other = try directory.write("new", shard("a", value: 7))
        #expect(rename(other, path) == 0)
        try checkpoint.checkUnchanged()
        try matrix.checkUnchanged()
        for change in [
            { (handle: FileHandle) in try handle.write(contentsOf: [1]) },
            { (handle: FileHandle) in try handle.truncate(atOffset: 20) },
        ] {
            let path = try directory.write("model.safetensors", shard("a"))
            let checkpoint = try Checkpoint(directory: directory.path)
            let handle = try #require(FileHandle(forWritingAtPath: path))
            // So that the time of writing differs on file systems that count it in ticks.
            usleep(20_000)
            try change(handle)
            try handle.close()
            #expect(throws: CheckpointError.changed(path: path)) { try checkpoint.checkUnchanged() }
            #expect(throws: CheckpointError.changed(path: path)) {
                try #require(checkpoint.tensor(named: "a")).checkUnchanged()
            }
        }
    }

    @Test func equalTensors() throws {
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        var last = bytes
        last[299_999] ^= 1
        try directory.write(
            "model.safetensors",
            safetensors([
                Fixture("a", .uint8, [300, 1000], bytes), Fixture("b", .uint8, [300, 1000], bytes),
                Fixture("last", .uint8, [300, 1000], last), Fixture("shape", .uint8, [1000, 300], bytes),
                Fixture("type", .int8, [300, 1000], bytes), Fixture("none", .int8, [0], []),
            ]))
        let checkpoint = try Checkpoint(directory: directory.path)
        let first = try #require(checkpoint.tensor(named: "a"))
        for (name, isEqual) in [("a", true), ("b", true), ("last", false), ("shape", false), ("type", false)] {
            #expect(first.isEqual(to: try #require(checkpoint.tensor(named: name))) == isEqual, "\(name)")
        }
        let none = try #require(checkpoint.tensor(named: "none"))
        #expect(none.isEqual(to: none))
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
                Fixture("heads", .float16, [2, 1], littleEndian(UInt16(0x3C00)) + littleEndian(UInt16(0xC200))),
                Fixture("cube", .float32, [1, 1, 1], [0, 0, 0, 0]),
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
        // The norms of several heads.
        #expect(try checkpoint.vector(named: "heads") == [1, -3])
        #expect(throws: CheckpointError.self) { try checkpoint.vector(named: "cube") }
        #expect(throws: CheckpointError.self) { try checkpoint.vector(named: "wide") }
    }

    /// Pages that were given back have the same contents when they are read again.
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

import Foundation
import Testing

@testable import Checkpoints

/// Every kind of invalid safetensors file gives one error of the right kind, and no crash.
@Suite struct HostileFileTests {
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    /// The error that opening these bytes gives.
    func failure(_ bytes: [UInt8]) throws -> CheckpointError? {
        let path = try directory.write("model.safetensors", bytes)
        do {
            _ = try SafetensorsFile(path: path)
            return nil
        } catch {
            #expect(!error.isMissingInput)
            #expect(error.description.contains("model.safetensors"))
            return error
        }
    }

    /// The error for a header with one tensor "x" of this description and this number of data bytes.
    func failure(entry: String, dataByteCount: Int = 0) throws -> CheckpointError? {
        try failure(
            safetensors(header: "{\"x\":{\(entry)}}", data: [UInt8](repeating: 0, count: dataByteCount)))
    }

    func expectTensorProblem(_ error: CheckpointError?, containing text: String) {
        guard case .malformedTensor(let name, _, let problem)? = error else {
            Issue.record("\(String(describing: error)), expected malformedTensor with \"\(text)\"")
            return
        }
        #expect(name == "x")
        #expect(problem.contains(text), "\(problem)")
    }

    func expectFileProblem(_ error: CheckpointError?, containing text: String) {
        guard case .malformedFile(_, let problem)? = error else {
            Issue.record("\(String(describing: error)), expected malformedFile with \"\(text)\"")
            return
        }
        #expect(problem.contains(text), "\(problem)")
    }

    @Test func emptyAndShortFiles() throws {
        for count in 0..<8 {
            expectFileProblem(try failure([UInt8](repeating: 1, count: count)), containing: "too few")
        }
    }

    @Test func headerLengths() throws {
        let sound = "{}"
        expectFileProblem(
            try failure(safetensors(header: sound, claimedLength: 100_000_001)), containing: "the format's limit")
        expectFileProblem(
            try failure(safetensors(header: sound, claimedLength: .max)), containing: "the format's limit")
        let path = "\(directory.path)/model.safetensors"
        #expect(
            try failure(safetensors(header: sound, claimedLength: 12)) == .truncated(path: path, missingByteCount: 10))
        expectFileProblem(try failure(safetensors(header: "")), containing: "ends where a value")
    }

    @Test func headersThatAreNotJSON() throws {
        for text in [
            "{", "[]", "7", "nul", "{\"x\"}", "{\"x\":}", "{\"x\":{},}", "{} {}", "{\"x\":01}", "{'x':1}",
            "{\"a\n\":1}",
            "{\"\\u12\":1}", "{\"\\ud800\":1}", "{\"\\x\":1}", "{\"x\":-}", "{\"x\":1.}", "{\"x\":1e}", "[1 2]",
            "\"abc",
            String(repeating: "[", count: 100_000),
        ] {
            expectFileProblem(try failure(safetensors(header: text)), containing: "its header")
        }
        let notUTF8 = Array("{\"".utf8) + [0xC3, 0x28] + Array("\":1}".utf8)
        expectFileProblem(
            try failure(littleEndian(UInt64(notUTF8.count)) + notUTF8), containing: "not UTF-8")
    }

    @Test func duplicateNames() throws {
        let entry = "\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"
        expectFileProblem(try failure(safetensors(header: "{\(entry),\(entry)}")), containing: "occurs twice")
        // The same name spelled with an escape is the same name.
        let escaped = entry.replacingOccurrences(of: "\"x\"", with: "\"\\u0078\"")
        expectFileProblem(try failure(safetensors(header: "{\(entry),\(escaped)}")), containing: "occurs twice")
    }

    @Test func metadata() throws {
        expectFileProblem(try failure(safetensors(header: "{\"__metadata__\":[]}")), containing: "__metadata__")
        expectFileProblem(
            try failure(safetensors(header: "{\"__metadata__\":{\"a\":1}}")), containing: "not a string")
        let path = try directory.write(
            "sound.safetensors", safetensors(header: "{\"__metadata__\":{\"a\":\"b\\n\\u00e9\\ud83d\\ude00\"}}   "))
        #expect(try SafetensorsFile(path: path).metadata == ["a": "b\né😀"])
    }

    @Test func missingOrWrongKeys() throws {
        expectTensorProblem(try failure(entry: ""), containing: "no dtype")
        expectTensorProblem(
            try failure(entry: "\"dtype\":\"F31\",\"shape\":[],\"data_offsets\":[0,4]"), containing: "unknown dtype")
        expectTensorProblem(try failure(entry: "\"dtype\":\"U8\",\"data_offsets\":[0,0]"), containing: "no shape")
        expectTensorProblem(
            try failure(entry: "\"dtype\":\"U8\",\"shape\":\"2\",\"data_offsets\":[0,0]"), containing: "no shape")
        for offsets in ["", ",\"data_offsets\":[0]", ",\"data_offsets\":[0,1,2]", ",\"data_offsets\":0"] {
            expectTensorProblem(
                try failure(entry: "\"dtype\":\"U8\",\"shape\":[0]\(offsets)"), containing: "data_offsets")
        }
    }

    @Test func shapes() throws {
        for extent in ["-1", "1.0", "1e2", "\"3\"", "null", "9223372036854775808", "[1]"] {
            expectTensorProblem(
                try failure(entry: "\"dtype\":\"U8\",\"shape\":[\(extent)],\"data_offsets\":[0,1]", dataByteCount: 1),
                containing: "its shape holds")
        }
        for shape in ["[4294967296,4294967296]", "[9223372036854775807,2]", "[4611686018427387904,2]"] {
            expectTensorProblem(
                try failure(entry: "\"dtype\":\"F32\",\"shape\":\(shape),\"data_offsets\":[0,4]", dataByteCount: 4),
                containing: "more bytes than an address")
        }
        expectTensorProblem(
            try failure(entry: "\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,20]", dataByteCount: 20),
            containing: "takes 24 bytes; its data_offsets span 20")
    }

    @Test func offsets() throws {
        for offsets in ["-4,0", "4,0", "0,-1", "0,1.5", "0,99999999999999999999"] {
            expectTensorProblem(
                try failure(entry: "\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[\(offsets)]", dataByteCount: 4),
                containing: "not a range")
        }
        expectTensorProblem(
            try failure(
                entry: "\"dtype\":\"U8\",\"shape\":[2],"
                    + "\"data_offsets\":[9223372036854775805,9223372036854775807]"),
            containing: "beyond any file")
        expectTensorProblem(
            try failure(entry: "\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]", dataByteCount: 3),
            containing: "belong to no tensor")
    }

    @Test func overlapAndHoles() throws {
        func pair(_ second: String) -> [UInt8] {
            safetensors(
                header: "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                    + "\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[\(second)]}}",
                data: [UInt8](repeating: 0, count: 12))
        }
        expectTensorProblem(try failure(pair("2,6")), containing: "overlaps that of \"a\" by 2 bytes")
        expectTensorProblem(try failure(pair("0,4")), containing: "overlaps")
        expectTensorProblem(try failure(pair("6,10")), containing: "2 bytes between it and \"a\"")
        expectFileProblem(try failure(pair("4,8")), containing: "4 bytes after the last tensor")
    }

    @Test func truncatedDownload() throws {
        let sound = safetensors([Fixture("x", .float32, [3], [UInt8](repeating: 1, count: 12))])
        let path = "\(directory.path)/model.safetensors"
        for missing in 1...12 {
            #expect(
                try failure(Array(sound.dropLast(missing))) == .truncated(path: path, missingByteCount: missing))
        }
        #expect(try failure(sound) == nil)
        expectFileProblem(try failure(sound + [0]), containing: "1 bytes after")
    }

    /// No prefix of a valid file and no changed byte of its header causes a trap.
    @Test func changedBytes() throws {
        let sound = safetensors([
            Fixture("a", .bfloat16, [2, 2], [UInt8](repeating: 7, count: 8)),
            Fixture("x", .int8, [3], [1, 2, 3]),
        ])
        for count in 0..<sound.count {
            #expect(try failure(Array(sound.prefix(count))) != nil)
        }
        for position in 0..<(sound.count - 11) {
            for byte: UInt8 in [0, 0x22, 0x2D, 0x39, 0x5B, 0x7D, 0xFF] {
                var changed = sound
                changed[position] = byte
                _ = try failure(changed)
            }
        }
    }

    @Test func filesThatAreNotFiles() throws {
        #expect(throws: CheckpointError.self) { try SafetensorsFile(path: "\(directory.path)/absent") }
        let pipe = "\(directory.path)/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        do {
            _ = try SafetensorsFile(path: pipe)
            Issue.record("a pipe was opened")
        } catch {
            #expect(error == .unreadable(path: pipe, reason: "it is not a regular file"))
        }
    }
}

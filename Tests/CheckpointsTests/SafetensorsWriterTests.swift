import Foundation
import Tensors
import Testing

@testable import Checkpoints

@Suite struct SafetensorsWriterTests {
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    @Test func whatIsWrittenReadsBack() throws {
        let path = directory.path + "/out.safetensors"
        let descriptions = [
            TensorDescription(name: "shape", type: .int64, shape: [2]),
            TensorDescription(name: "odd \"name\"\n\u{1F600}", type: .uint8, shape: [5]),
            TensorDescription(name: "empty", type: .float32, shape: [0, 3]),
            TensorDescription(name: "scalar", type: .float16, shape: []),
        ]
        let contents: [[UInt8]] = [Array(0..<16), [1, 2, 3, 4, 5], [], [9, 8]]
        let writer = try SafetensorsWriter(path: path, tensors: descriptions, metadata: ["format": "pt", "b": "\""])
        // In turns, in strips of three bytes.
        for start in stride(from: 0, to: 16, by: 3) {
            for (index, bytes) in contents.enumerated() where start < bytes.count {
                let strip = Array(bytes[start..<min(start + 3, bytes.count)])
                try strip.withUnsafeBytes { try writer.append($0, to: index) }
            }
        }
        #expect(directory.contents.count == 1 && directory.contents != ["out.safetensors"])
        try writer.finish()
        #expect(directory.contents == ["out.safetensors"])

        let file = try SafetensorsFile(path: path)
        #expect(file.byteCount == writer.byteCount)
        #expect(file.metadata == ["format": "pt", "b": "\""])
        #expect(Set(file.tensors.map(\.name)) == Set(descriptions.map(\.name)))
        for tensor in file.tensors {
            let index = try #require(descriptions.firstIndex { $0.name == tensor.name })
            #expect(tensor.description == descriptions[index])
            #expect(Array(tensor.bytes) == contents[index])
        }
    }

    @Test func aDroppedWriterLeavesNothing() throws {
        let description = TensorDescription(name: "a", type: .uint8, shape: [4])
        do {
            let writer = try SafetensorsWriter(path: directory.path + "/out.safetensors", tensors: [description])
            try [UInt8](repeating: 1, count: 2).withUnsafeBytes { try writer.append($0, to: 0) }
            #expect(directory.contents.count == 1)
        }
        #expect(directory.contents == [])
    }

    @Test func problems() throws {
        #expect(throws: CheckpointError.self) {
            try SafetensorsWriter(path: directory.path + "/absent/out.safetensors", tensors: [])
        }
        let huge = TensorDescription(name: "a", type: .float32, shape: [1 << 40, 1 << 40])
        #expect(throws: CheckpointError.self) {
            try SafetensorsWriter(path: directory.path + "/out.safetensors", tensors: [huge])
        }
        #expect(directory.contents == [])
    }
}

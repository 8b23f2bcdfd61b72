import Checkpoints
import Foundation
import Tensors
import Testing

/// The program `quantize`, run as a process.
@Suite(.serialized) struct QuantizeCommandTests {
    struct Outcome {
        let status: Int32
        let output: String
        let errors: String
    }

    static let program: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (tests as NSString).deletingLastPathComponent + "/quantize"
    }()

    let model: TestModel

    init() throws {
        model = try TestModel()
    }

    /// Runs the program; `meanwhile` may act on the process while it works.
    func quantize(_ arguments: [String], meanwhile: (Process) -> Void = { _ in }) throws -> Outcome {
        try #require(FileManager.default.isExecutableFile(atPath: Self.program), "build the product quantize first")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.program)
        process.arguments = arguments
        // Files, not pipes: nobody reads while the process runs.
        let paths = (output: model.root + "/stdout", errors: model.root + "/stderr")
        for path in [paths.output, paths.errors] { try Data().write(to: URL(fileURLWithPath: path)) }
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: paths.output))
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: paths.errors))
        try process.run()
        meanwhile(process)
        process.waitUntilExit()
        let outcome = Outcome(
            status: process.terminationStatus, output: try model.text(paths.output),
            errors: try model.text(paths.errors))
        for path in [paths.output, paths.errors] { try FileManager.default.removeItem(atPath: path) }
        return outcome
    }

    func arguments(_ more: String..., output: String? = nil) -> [String] {
        ["--model", model.model, "--output", output ?? model.output] + more
    }

    @Test func versionAndHelp() throws {
        #expect(try quantize(["--version"]).output == "0.1.0\n")
        let help = try quantize(["--help"])
        #expect(help.status == 0)
        for option in ["--model", "--scheme", "--output", "--group-size", "--granularity", "--asymmetric"] {
            #expect(help.output.contains(option))
        }
    }

    @Test func aRunAndItsClosingLine() throws {
        try model.writeSmallModel()
        let outcome = try quantize(arguments("--scheme", "int4", "--group-size", "16", "--asymmetric"))
        #expect(outcome.status == 0)
        #expect(outcome.errors == "", "no progress where nobody watches")
        let written = try Checkpoint(directory: model.output)
        let before = try Checkpoint(directory: model.model).weightFileByteCount
        #expect(
            outcome.output
                == "\(model.output): 2 matrices quantized, \(before) → \(written.weightFileByteCount) bytes\n")
        let matrix = try written.matrix(
            named: "model.layers.1.mlp.down_proj", quantization: written.quantizationConfiguration())
        #expect(matrix.encoding == .integer(bits: 4, WeightGroups(size: 16, isSymmetric: false, scaleType: .bfloat16)))
    }

    @Test func wrongUsage() throws {
        try model.writeSmallModel()
        for wrong in [
            [], ["--scheme", "int8"], arguments(), arguments("--scheme", "int5"),
            arguments("--scheme", "int8", "--symmetric", "--asymmetric"),
            arguments("--scheme", "int8", "--group-size", "0"),
            arguments("--scheme", "int8", "--group-size", "32", "--granularity", "channel"),
            arguments("--scheme", "int8", "--max-shard-size", "-1"),
            arguments("--scheme", "int8", "--group-size", "32", output: model.model + "/inside"),
            arguments("--scheme", "int8", "--group-size", "32", output: model.model),
        ] {
            #expect(try quantize(wrong).status == 64, "\(wrong)")
        }
    }

    @Test func problemsAreOneLine() throws {
        func expectLine(_ status: Int32, _ text: String) throws {
            let outcome = try quantize(arguments("--scheme", "int8", "--group-size", "32"))
            #expect(outcome.status == status)
            #expect(outcome.output == "")
            #expect(outcome.errors.hasPrefix("quantize: ") && outcome.errors.contains(text), "\(outcome.errors)")
            #expect(outcome.errors.filter { $0 == "\n" }.count == 1)
            #expect(model.names(in: model.root) == ["model"])
        }
        try expectLine(66, "holds no *.safetensors")
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: model.model + "/model.safetensors"))
        try expectLine(65, "model.safetensors")
        try model.writeWeights(["model.layers.0.mlp.up_proj.weight": [4, 32]], value: { _ in .nan })
        try expectLine(65, "\"model.layers.0.mlp.up_proj\"")
        try FileManager.default.removeItem(atPath: model.model + "/config.json")
        try expectLine(66, "config.json")
    }

    /// A link without a target is refused as an output.
    @Test func anOutputThatLeadsNowhereIsRefused() throws {
        try model.writeSmallModel()
        try FileManager.default.createSymbolicLink(atPath: model.output, withDestinationPath: "nonesuch")
        let outcome = try quantize(arguments("--scheme", "int8", "--group-size", "32"))
        #expect(outcome.status == 64 && outcome.output == "")
        #expect(
            outcome.errors.contains("output is a symbolic link to something that does not exist"), "\(outcome.errors)")
        #expect(model.names(in: model.root) == ["model", "output"])
    }

    /// Of two runs to one output, the later one fails with a message and leaves nothing behind.
    @Test func theLaterOfTwoRunsIsToldSo() throws {
        try writeLargeModel()
        let outcome = try quantize(arguments("--scheme", "int8")) { process in
            waitForWork()
            try? FileManager.default.createDirectory(atPath: model.output, withIntermediateDirectories: false)
            try? Data("{}".utf8).write(to: URL(fileURLWithPath: model.output + "/config.json"))
        }
        #expect(outcome.status == 65 && outcome.output == "", "\(outcome.errors)")
        #expect(
            outcome.errors.contains("output was made by another program while this one worked"), "\(outcome.errors)")
        #expect(model.names(in: model.root) == ["model", "output"] && model.names(in: model.output) == ["config.json"])
    }

    /// If weights are written to while they are read, no checkpoint is written.
    @Test func weightsThatChangeMakeNoOutput() throws {
        try writeLargeModel()
        let outcome = try quantize(arguments("--scheme", "int8")) { process in
            waitForWork()
            let file = FileHandle(forWritingAtPath: model.model + "/model.safetensors")
            try? file?.seek(toOffset: 8)
            try? file?.write(contentsOf: Data("{".utf8))
        }
        #expect(outcome.status == 65 && outcome.output == "", "\(outcome.errors)")
        #expect(outcome.errors.contains("model.safetensors was written to while it was in use"), "\(outcome.errors)")
        #expect(model.names(in: model.root) == ["model"])
    }

    /// Waits until a run has begun to write.
    private func waitForWork() {
        let deadline = Date(timeIntervalSinceNow: 20)
        while !model.names(in: model.root).contains(where: { $0.contains(".partial-") }), Date() < deadline {
            usleep(2000)
        }
    }

    /// Weights that are large enough to interrupt a run.
    private func writeLargeModel() throws {
        let descriptions = (0..<64).map {
            TensorDescription(name: "model.layers.\($0).mlp.up_proj.weight", type: .bfloat16, shape: [1024, 2048])
        }
        let writer = try SafetensorsWriter(path: model.model + "/model.safetensors", tensors: descriptions)
        let zeros = [UInt8](repeating: 0, count: 1024 * 2048 * 2)
        for index in descriptions.indices { try zeros.withUnsafeBytes { try writer.append($0, to: index) } }
        try writer.finish()
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func anInterruptedRunLeavesNothing(signal: Int32) throws {
        try writeLargeModel()
        let outcome = try quantize(arguments("--scheme", "int8")) { process in
            waitForWork()
            kill(process.processIdentifier, signal)
        }
        #expect(outcome.status == 130)
        #expect(outcome.errors == "quantize: interrupted; nothing was written.\n")
        #expect(model.names(in: model.root) == ["model"])
    }
}

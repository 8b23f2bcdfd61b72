import ArgumentParser
import Foundation
import Synchronization

/// The option that says where the results of a program over ranks go.
public struct OutputArguments: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            """
            Write results to this file instead of standard output. It appears when it is complete; what cannot be \
            written is an error, which mpirun hides on standard output.
            """, valueName: "file"))
    public var output: String?

    public init() {}

    /// Opens the output that the option names; rank 0 calls this before anything is computed.
    ///
    /// - Throws: `RunError` with status 65 if it cannot be written.
    public func begin() throws(RunError) {
        if let output {
            let file = try OutputFile(output, option: "--output")
            resultFile.withLock { $0 = file }
        } else {
            try checkStandardOutput()
        }
    }

    /// Completes the file of `--output`, after the last result.
    public func finish() throws(RunError) {
        guard let file = resultFile.withLock({ file in file.take() }) else { return }
        try file.commit()
    }
}

/// The file that results go to; nil for standard output.
private let resultFile = Mutex<OutputFile?>(nil)

/// Throws if standard output is closed, or open for reading only.
private func checkStandardOutput() throws(RunError) {
    let mode = fcntl(STDOUT_FILENO, F_GETFL)
    guard mode >= 0, mode & O_ACCMODE != O_RDONLY else { throw standardOutputFailure(EBADF) }
}

private func standardOutputFailure(_ code: Int32) -> RunError {
    RunError(
        .badInput,
        "standard output cannot be written: "
            + (code == EBADF ? "it is closed" : String(cString: strerror(code))))
}

/// Writes a JSON object as a result.
///
/// Floats are written such that reading them gives the same bits.
public func printJSON(_ value: some Encodable) throws {
    try writeOut(jsonLine(value))
}

/// Encodes a JSON object, followed by a line feed.
///
/// JSON has no infinity and no NaN, so such a number is written as null, which Python, JavaScript and `jq` can read;
/// the first one causes a line on standard error.
public func jsonLine(_ value: some Encodable) throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
        positiveInfinity: notFinite, negativeInfinity: notFinite, nan: notFinite)
    let encoded = try encoder.encode(value)
    let marker = Data("\"\(notFinite)\"".utf8)
    var line = Data()
    var rest = encoded[...]
    while let place = rest.range(of: marker) {
        line += rest[..<place.lowerBound] + Data("null".utf8)
        rest = rest[place.upperBound...]
    }
    if rest.count < encoded.count, !hasToldOfNull.exchange(true, ordering: .relaxed) {
        complain("a figure is infinite or no number, which JSON cannot say: it is null")
    }
    return line + rest + Data("\n".utf8)
}

/// Stands for a number that JSON lacks until the object is encoded; it is random, so no other text equals it.
private let notFinite = UUID().uuidString
private let hasToldOfNull = Atomic<Bool>(false)

/// Writes a result without buffering, so that text appears as it is generated.
public func writeOut(_ text: String) throws(RunError) {
    try writeOut(Data(text.utf8))
}

private func writeOut(_ data: Data) throws(RunError) {
    func write(_ bytes: UnsafeRawBufferPointer) -> RunError? {
        do throws(RunError) {
            if let file = resultFile.withLock({ $0 }) {
                try file.write(bytes)
            } else if let code = writeAll(bytes, to: STDOUT_FILENO) {
                throw standardOutputFailure(code)
            }
            return nil
        } catch {
            return error
        }
    }
    if let error = data.withUnsafeBytes({ write($0) }) { throw error }
}

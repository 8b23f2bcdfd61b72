import Foundation

/// Prints one JSON object on standard output.
///
/// Floats are printed so that they read back to the same bits.
public func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    try writeOut(encoder.encode(value) + Data("\n".utf8))
}

/// Writes to standard output at once, so that text shows as it is made.
public func writeOut(_ text: String) throws {
    try writeOut(Data(text.utf8))
}

private func writeOut(_ data: Data) throws {
    do {
        try FileHandle.standardOutput.write(contentsOf: data)
    } catch {
        throw RunError(.badInput, "standard output cannot be written; its disk may be full")
    }
}

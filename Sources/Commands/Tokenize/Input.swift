import ArgumentParser
import Foundation
import ProgramEntry
import Tokenization

extension Tokenizer.SpecialTokens: ExpressibleByArgument {}

/// Token ids as an argument, such as "5,17".
struct TokenList: ExpressibleByArgument {
    let tokens: [TokenID]

    init?(argument: String) {
        var tokens: [TokenID] = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let number = Int32(part.drop { $0 == " " }) else { return nil }
            tokens.append(TokenID(number))
        }
        self.tokens = tokens
    }
}

/// Reads a file of JSON values, one per line, with the place of each for messages.
///
/// It reads all lines before the first is used, so that a bad line leaves no output that looks complete.
///
/// - Parameter value: reads a line; nil if it is not what is wanted.
func jsonLines<Value>(
    of path: String, _ wanted: String, _ value: ([UInt8]) -> Value?
) throws(RunError) -> [(place: String, value: Value)] {
    var values: [(place: String, value: Value)] = []
    for (index, line) in try readInput(path).split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
        // Blank lines are skipped, such as the one after the last newline.
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
        let place = "\(path), line \(index + 1)"
        guard let found = value(Array(line)) else {
            throw RunError(.badInput, "\(place): not \(wanted). Correct this line.")
        }
        values.append((place, found))
    }
    return values
}

/// Reads a file of JSON values of one type, one per line.
func jsonLines<Value: Decodable>(
    of path: String, as type: Value.Type, _ wanted: String
) throws(RunError) -> [(place: String, value: Value)] {
    try jsonLines(of: path, wanted) { try? JSONDecoder().decode(type, from: Data($0)) }
}

extension RunError {
    /// Runs `body`, and adds the place of the text to an error about the text.
    static func placing<Result>(
        _ place: String, _ body: () throws(TokenizationError) -> Result
    ) throws(RunError) -> Result {
        do {
            return try body()
        } catch {
            throw RunError(.badInput, "\(place): \(error)")
        }
    }
}

import ArgumentParser
import Foundation
import ProgramEntry
import Tokenization

extension Tokenizer.SpecialTokens: ExpressibleByArgument {}

/// Token numbers as an argument: "5,17".
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

/// The lines of a file of JSON values, one a line, with the place of each for messages.
///
/// All are read before the first is used, so that a bad line leaves no result that looks complete.
func jsonLines<Value: Decodable>(
    of path: String, as type: Value.Type, _ wanted: String
) throws(RunError) -> [(place: String, value: Value)] {
    var values: [(place: String, value: Value)] = []
    for (index, line) in try readInput(path).split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
        // Blank lines, such as after the last newline, say nothing.
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
        let place = "\(path), line \(index + 1)"
        guard let value = try? JSONDecoder().decode(type, from: Data(line)) else {
            throw RunError(.badInput, "\(place): not \(wanted). Correct this line.")
        }
        values.append((place, value))
    }
    return values
}

extension RunError {
    /// Runs `body`; an error about its text gets the place where the text stands.
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

import ArgumentParser
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

extension ExitCode {
    /// An input is malformed (`EX_DATAERR`).
    static let malformedInput = ExitCode(65)
    /// An input is missing (`EX_NOINPUT`).
    static let missingInput = ExitCode(66)
}

/// What is wrong with an input, and the status that says so.
struct InputError: Error {
    let message: String
    let code: ExitCode

    /// Runs `body`; an error about its text gets the place where the text stands.
    static func placing<Result>(_ place: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as TokenizationError {
            throw InputError(message: "\(place): \(error)", code: .malformedInput)
        }
    }
}

import ArgumentParser
import Foundation
import ProgramEntry
import Tokenization

@main struct Launcher {
    static func main() { Tokenize.start() }
}

/// The program `tokenize`: text to tokens and back.
struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Turns text into tokens, and tokens into text.", version: triremeVersion)

    enum Format: String, CaseIterable, ExpressibleByArgument {
        case text
        case json
    }

    @Option(help: ArgumentHelp("A folder with tokenizer.json, or the file itself.", valueName: "path"))
    var model: String
    @Option(help: "Encode this text.")
    var text: String?
    @Option(help: ArgumentHelp("Encode the whole of a file; - is standard input.", valueName: "path"))
    var file: String?
    @Option(help: ArgumentHelp("Encode a file of JSON strings, one a line; - is standard input.", valueName: "path"))
    var jsonl: String?
    @Option(help: "on adds what the model wants around a text; plain takes special tokens in the text for text.")
    var special: Tokenizer.SpecialTokens = .off
    @Option(help: "How results are printed.")
    var format: Format = .text
    @Option(help: ArgumentHelp("Decode these tokens, such as 5,17.", valueName: "ids"))
    var decode: TokenList?
    @Option(help: ArgumentHelp("Decode a file of JSON arrays, one a line; - is standard input.", valueName: "path"))
    var decodeJsonl: String?
    @Flag(help: "With --decode or --decode-jsonl: print what may be shown after each token, as JSON strings.")
    var stream = false

    func validate() throws {
        let sourceCount = [text, file, jsonl, decodeJsonl].count { $0 != nil } + (decode == nil ? 0 : 1)
        guard sourceCount == 1 else {
            throw ValidationError("Give one of --text, --file, --jsonl, --decode and --decode-jsonl.")
        }
        guard !stream || decode != nil || decodeJsonl != nil else {
            throw ValidationError("--stream needs --decode or --decode-jsonl.")
        }
    }

    func run() throws {
        do {
            let tokenizer = try Tokenizer(contentsOf: model)
            if let text {
                try show(tokenizer.encode(text, special: special), byteCount: text.utf8.count, tokenizer)
            } else if let file {
                let bytes = try read(file)
                let tokens = try InputError.placing(file) { try tokenizer.encode(utf8: bytes, special: special) }
                try show(tokens, byteCount: bytes.count, tokenizer)
            } else if let jsonl {
                try forEachLine(of: jsonl, as: String.self, "a JSON string") { text in
                    print("{\"ids\": \(list(try tokenizer.encode(text, special: special)))}")
                }
            } else if let decode {
                try show(decode.tokens, tokenizer)
            } else if let decodeJsonl {
                try forEachLine(of: decodeJsonl, as: [TokenID].self, "an array of numbers") { try show($0, tokenizer) }
            }
        } catch let error as InputError {
            throw failure(error.message, error.code)
        } catch let error as TokenizationError {
            let isMissing = if case .missingFile = error { true } else { false }
            throw failure("\(error)", isMissing ? .missingInput : .malformedInput)
        }
    }

    private func failure(_ message: String, _ code: ExitCode) -> ExitCode {
        // What a message quotes from a file may have line ends, and a message is one line.
        let line = message.split(whereSeparator: \.isNewline).joined(separator: " ")
        FileHandle.standardError.write(Data("tokenize: \(line)\n".utf8))
        return code
    }

    private func read(_ path: String) throws -> [UInt8] {
        if path == "-" { return [UInt8](FileHandle.standardInput.readDataToEndOfFile()) }
        guard FileManager.default.fileExists(atPath: path) else {
            throw InputError(message: "\(path): no such file.", code: .missingInput)
        }
        do {
            return [UInt8](try Data(contentsOf: URL(filePath: path)))
        } catch {
            throw InputError(message: "\(path): cannot be read.", code: .missingInput)
        }
    }

    private func forEachLine<Value: Decodable>(
        of path: String, as type: Value.Type, _ wanted: String, _ body: (Value) throws -> Void
    ) throws {
        for (index, line) in try read(path).split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            // Blank lines, such as after the last newline, say nothing.
            if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
            let place = "\(path), line \(index + 1)"
            guard let value = try? JSONDecoder().decode(type, from: Data(line)) else {
                throw InputError(message: "\(place): not \(wanted). Correct this line.", code: .malformedInput)
            }
            try InputError.placing(place) { try body(value) }
        }
    }

    private func show(_ tokens: [TokenID], byteCount: Int, _ tokenizer: Tokenizer) throws {
        let pieces = tokens.map { tokenizer.piece(of: $0) ?? "" }
        switch format {
        case .json:
            print("{\"ids\": \(list(tokens)), \"pieces\": \(try quoted(pieces)), \"count\": \(tokens.count)}")
        case .text:
            for (token, piece) in zip(tokens, pieces) { print("\(token.rawValue)\t\(try quoted(piece))") }
            print("\(tokens.count) tokens, \(byteCount) bytes")
        }
    }

    private func show(_ tokens: [TokenID], _ tokenizer: Tokenizer) throws {
        if let bad = tokens.first(where: { $0.rawValue < 0 || Int($0.rawValue) >= tokenizer.vocabularySize }) {
            throw InputError(
                message: "token id \(bad.rawValue) is outside the vocabulary, 0 to \(tokenizer.vocabularySize - 1).",
                code: .malformedInput)
        }
        guard stream else {
            let text = tokenizer.decode(tokens, skippingSpecial: false)
            print(format == .json ? "{\"text\": \(try quoted(text))}" : text)
            return
        }
        var stream = tokenizer.makeStream(skippingSpecial: false)
        let chunks = tokens.map { stream.append($0) }
        let final = stream.finish()
        switch format {
        case .json: print("{\"chunks\": \(try quoted(chunks)), \"final\": \(try quoted(final))}")
        case .text: for chunk in chunks + (final.isEmpty ? [] : [final]) { print(try quoted(chunk)) }
        }
    }

    private func list(_ tokens: [TokenID]) -> String {
        "[\(tokens.map { "\($0.rawValue)" }.joined(separator: ", "))]"
    }

    private func quoted<Value: Encodable>(_ value: Value) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}

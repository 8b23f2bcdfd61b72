import ArgumentParser
import Chat
import ChatOptions
import Foundation
import JSON
import ProgramEntry
import Tokenization

@main struct Launcher {
    static func main() { Tokenize.start() }
}

/// The program `tokenize`, which converts text to tokens and back.
struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Turns text into tokens, and tokens into text.", version: triremeVersion)

    enum Format: String, CaseIterable, ExpressibleByArgument {
        case text
        case json
    }

    @Option(help: ArgumentHelp("A folder with a tokenizer's files, or one such file.", valueName: "path"))
    var model: String
    @Option(parsing: .unconditional, help: "Encode this text, even where it begins with a dash.")
    var text: String?
    @Option(help: ArgumentHelp("Encode the whole of a file; - is standard input.", valueName: "path"))
    var file: String?
    @Option(help: ArgumentHelp("Encode a file of JSON strings, one a line; - is standard input.", valueName: "path"))
    var jsonl: String?
    @Option(help: "on adds what the model wants around a text; plain takes special tokens in the text for text.")
    var special: Tokenizer.SpecialTokens = .off
    @Option(help: "How results are printed.")
    var format: Format = .text
    @Option(
        parsing: .unconditional, help: ArgumentHelp("Decode these tokens, such as 5,17.", valueName: "ids"))
    var decode: TokenList?
    @Option(help: ArgumentHelp("Decode a file of JSON arrays, one a line; - is standard input.", valueName: "path"))
    var decodeJsonl: String?
    @Flag(help: "With --decode or --decode-jsonl: print what may be shown after each token, as JSON strings.")
    var stream = false
    @OptionGroup var chatArguments: ChatArguments
    @OptionGroup var outputArguments: OutputArguments

    func validate() throws {
        let sourceCount = [text, file, jsonl, decodeJsonl].count { $0 != nil } + (decode == nil ? 0 : 1)
        guard sourceCount == 1 else {
            throw ValidationError("Give one of --text, --file, --jsonl, --decode and --decode-jsonl.")
        }
        if chatArguments.chat, text == nil, file == nil, jsonl == nil {
            throw ValidationError("--chat needs a text: give --text, --file or --jsonl.")
        }
        guard !stream || decode != nil || decodeJsonl != nil else {
            throw ValidationError("--stream needs --decode or --decode-jsonl.")
        }
    }

    func run() throws {
        do {
            try outputArguments.begin()
            let tokenizer = try Tokenizer(contentsOf: model)
            for warning in tokenizer.warnings { complain("tokenize: warning: \(warning)") }
            var printed = BufferedOutput()
            try printResults(of: tokenizer, to: &printed)
            try printed.flush()
            try outputArguments.finish()
        } catch let error as TokenizationError {
            throw RunError(error.isMissingInput ? .missingInput : .badInput, "\(error)")
        }
    }

    /// Encodes conversations: a user's message, or with `--jsonl` also messages.
    private func printChats(by tokenizer: Tokenizer, to printed: inout BufferedOutput) throws {
        do {
            let format = try chatArguments.format(
                of: Tokenizer.folder(of: model), tokenizer: tokenizer, recognizesSpecial: special == .on,
                read: { try readInput($0) })
            func encode(_ value: JSONValue, _ place: String) throws -> [TokenID] {
                guard let conversation = format.conversation(value) else {
                    throw RunError(.badInput, "\(place): not a message, nor messages with roles. Correct this line.")
                }
                do { return try format.encode(conversation) } catch { throw RunError(.badInput, "\(place): \(error)") }
            }
            if let jsonl {
                for (place, value) in try jsonLines(
                    of: jsonl, "JSON", { try? JSONValue(parsing: $0, as: .strict) })
                {
                    try printed.print("{\"ids\": \(list(try encode(value, place)))}")
                }
                return
            }
            let bytes = try text.map { Array($0.utf8) } ?? file.map { try readInput($0) } ?? []
            guard let message = String(validating: bytes, as: UTF8.self) else {
                throw RunError(.badInput, "\(file ?? "--text") is not UTF-8.")
            }
            try show(encode(.string(message), "--chat"), byteCount: message.utf8.count, tokenizer, &printed)
        } catch let error as ChatError {
            throw RunError(.badInput, "\(error)")
        }
    }

    private func printResults(of tokenizer: Tokenizer, to printed: inout BufferedOutput) throws {
        if chatArguments.chat {
            try printChats(by: tokenizer, to: &printed)
        } else if let text {
            try show(tokenizer.encode(text, special: special), byteCount: text.utf8.count, tokenizer, &printed)
        } else if let file {
            let bytes = try readInput(file)
            let tokens = try RunError.placing(file) { () throws(TokenizationError) in
                try tokenizer.encode(utf8: bytes, special: special)
            }
            try show(tokens, byteCount: bytes.count, tokenizer, &printed)
        } else if let jsonl {
            for (place, text) in try jsonLines(of: jsonl, as: String.self, "a JSON string") {
                let tokens = try RunError.placing(place) { () throws(TokenizationError) in
                    try tokenizer.encode(text, special: special)
                }
                try printed.print("{\"ids\": \(list(tokens))}")
            }
        } else if let decode {
            try check(decode.tokens, "--decode", tokenizer)
            try show(decode.tokens, tokenizer, &printed)
        } else if let decodeJsonl {
            let lines = try jsonLines(of: decodeJsonl, as: [TokenID].self, "an array of numbers")
            for (place, tokens) in lines { try check(tokens, place, tokenizer) }
            for (_, tokens) in lines { try show(tokens, tokenizer, &printed) }
        }
    }

    private func check(_ tokens: [TokenID], _ place: String, _ tokenizer: Tokenizer) throws(RunError) {
        guard let bad = tokens.first(where: { $0.rawValue < 0 || Int($0.rawValue) >= tokenizer.vocabularySize })
        else { return }
        throw RunError(
            .badInput,
            "\(place): token id \(bad.rawValue) is outside the vocabulary, 0 to \(tokenizer.vocabularySize - 1).")
    }

    private func show(
        _ tokens: [TokenID], byteCount: Int, _ tokenizer: Tokenizer, _ printed: inout BufferedOutput
    ) throws {
        // A text has far fewer different tokens than tokens.
        var pieces: [TokenID: String] = [:]
        for token in tokens where pieces[token] == nil { pieces[token] = try quoted(tokenizer.piece(of: token) ?? "") }
        switch format {
        case .json:
            let list = tokens.map { pieces[$0] ?? "" }.joined(separator: ",")
            try printed.print("{\"ids\": \(self.list(tokens)), \"pieces\": [\(list)], \"count\": \(tokens.count)}")
        case .text:
            for token in tokens { try printed.print("\(token.rawValue)\t\(pieces[token] ?? "")") }
            try printed.print("\(tokens.count) tokens, \(byteCount) bytes")
        }
    }

    private func show(_ tokens: [TokenID], _ tokenizer: Tokenizer, _ printed: inout BufferedOutput) throws {
        guard stream else {
            let text = tokenizer.decode(tokens, skippingSpecial: false)
            try printed.print(format == .json ? "{\"text\": \(try quoted(text))}" : text)
            return
        }
        var stream = tokenizer.makeStream(skippingSpecial: false)
        let chunks = tokens.map { stream.append($0) }
        let final = stream.finish()
        switch format {
        case .json: try printed.print("{\"chunks\": \(try quoted(chunks)), \"final\": \(try quoted(final))}")
        case .text: for chunk in chunks + (final.isEmpty ? [] : [final]) { try printed.print(try quoted(chunk)) }
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

/// A buffer of output lines, which are written many at a time.
private struct BufferedOutput {
    private var text = ""

    mutating func print(_ line: String) throws(RunError) {
        text += line + "\n"
        if text.utf8.count >= 1 << 16 { try flush() }
    }

    mutating func flush() throws(RunError) {
        try writeOut(text)
        text = ""
    }
}

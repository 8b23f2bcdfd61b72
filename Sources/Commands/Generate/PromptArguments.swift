import ArgumentParser
import Bootstrap
import Chat
import ChatOptions
import Generation
import JSON
import ModelOptions
import ProgramEntry
import Tokenization

/// The options that give prompts.
struct PromptArguments: ParsableArguments {
    @Option(parsing: .unconditional, help: "Text to continue, as it is, even where it begins with a dash.")
    var prompt: String?

    @Option(help: "A file with the text to continue; - is standard input.")
    var promptFile: String?

    @Option(
        parsing: .unconditional, help: "Token ids to continue, such as 5,17,9; no special token is added.")
    var promptTokenIds: String?

    @Option(help: "A file with one JSON string or {\"prompt\": ...} a line; prints one JSON object a line, in order.")
    var prompts: String?

    @Flag(help: "Read prompts from standard input, one a line, and keep what came before.")
    var interactive = false

    @OptionGroup var chatArguments: ChatArguments

    @Option(
        help: "With --chat: on takes names of special tokens in messages for these tokens; plain takes them for text.")
    var special: MessageSpecial = .plain

    enum MessageSpecial: String, ExpressibleByArgument, CaseIterable {
        case on
        case plain
    }

    var isBatch: Bool { prompts != nil }

    mutating func validate() throws {
        if chatArguments.chat, promptTokenIds != nil {
            throw ValidationError("--chat takes text, and --prompt-token-ids gives tokens: leave out one of them.")
        }
        if special == .on, !chatArguments.chat { throw ValidationError("--special on needs --chat.") }
        let given = [prompt != nil, promptFile != nil, promptTokenIds != nil, prompts != nil, interactive].filter { $0 }
            .count
        guard given == 1 else {
            throw ValidationError(
                "Give one of --prompt, --prompt-file, --prompt-token-ids, --prompts and --interactive.")
        }
        if let promptTokenIds,
            !promptTokenIds.split(separator: ",", omittingEmptySubsequences: false).allSatisfy({ Int32($0) != nil })
        {
            throw ValidationError(
                "--prompt-token-ids must be numbers with commas between them, such as 5,17,9, not '\(promptTokenIds)'.")
        }
    }

    /// The prompts as token ids; none of them is empty.
    ///
    /// - Parameter format: how conversations become tokens; nil without `--chat`.
    func prompts(model: OpenedModel, tokenizer: ModelTokenizer, format: ChatFormat?) throws -> [Prompt] {
        if let promptTokenIds {
            let ids = promptTokenIds.split(separator: ",").compactMap { Int32($0) }
            if let bad = ids.first(where: { $0 < 0 || Int($0) >= model.decoder.vocabularySize }) {
                throw RunError(
                    .badInput,
                    "token id \(bad) is outside the vocabulary of \(model.name), 0 to \(model.decoder.vocabularySize - 1)"
                )
            }
            return [Prompt(tokens: ids, source: "--prompt-token-ids")]
        }
        if interactive { return [] }
        return try texts().map { text in
            let tokens =
                try format.map { try chatTokens(of: text, as: $0, model: model) }
                ?? model.encode(text.bytes, from: text.source, tokenizer: tokenizer)
            guard !tokens.isEmpty else {
                throw RunError(.badInput, "\(text.source): the prompt is empty: it encodes to no token")
            }
            return Prompt(tokens: tokens, source: text.source)
        }
    }

    /// How conversations become tokens; nil without `--chat`.
    func chatFormat(model: OpenedModel, tokenizer: ModelTokenizer) throws -> ChatFormat? {
        guard chatArguments.chat else { return nil }
        do {
            return try chatArguments.format(
                of: model.directory, tokenizer: tokenizer.required(by: model, for: "--chat"),
                recognizesSpecial: special == .on, read: readRankInput)
        } catch let error as ChatError {
            throw RunError(.badInput, "\(error)")
        }
    }

    private func chatTokens(of text: Text, as format: ChatFormat, model: OpenedModel) throws -> [Int32] {
        guard let value = text.value else { throw RunError(.badInput, "\(text.source): it is not UTF-8") }
        guard let conversation = format.conversation(value) else {
            throw RunError(.badInput, "\(text.source): it is no message and no list of messages with roles")
        }
        do {
            return try model.checked(format.encode(conversation).map(\.rawValue))
        } catch let error as ChatError {
            throw RunError(.badInput, "\(text.source): \(error)")
        }
    }

    /// A prompt as it was given, and the option, file or line that it comes from.
    private struct Text {
        let bytes: [UInt8]
        let source: String
        /// What it says as JSON: a string, or with `--chat` messages; nil if it is not UTF-8.
        var value: JSONValue? { lineValue ?? String(validating: bytes, as: UTF8.self).map { .string($0) } }
        var lineValue: JSONValue?
    }

    /// The prompts as bytes, each with the option, file or line that it comes from.
    private func texts() throws -> [Text] {
        if let prompt { return [Text(bytes: Array(prompt.utf8), source: "--prompt")] }
        if let promptFile { return [Text(bytes: try readRankInput(promptFile), source: promptFile)] }
        guard let prompts else { return [] }
        let lines = try readRankInput(prompts).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let texts: [Text] = try lines.enumerated().compactMap { number, line in
            guard line.contains(where: { !" \t\r".utf8.contains($0) }) else { return nil }
            let place = "\(prompts), line \(number + 1)"
            let value = try? JSONValue(parsing: Array(line), as: .strict)
            if chatArguments.chat, let value { return Text(bytes: [], source: place, lineValue: value) }
            if let text = value?.stringValue ?? value?["prompt"]?.stringValue {
                return Text(bytes: Array(text.utf8), source: place)
            }
            throw RunError(
                .badInput,
                "\(place): it is no JSON string and no object with \"prompt\""
                    + (chatArguments.chat ? " or \"messages\"" : ""))
        }
        guard !texts.isEmpty else {
            throw RunError(.badInput, "\(prompts) holds no prompt: give one a line, as a JSON string")
        }
        return texts
    }
}

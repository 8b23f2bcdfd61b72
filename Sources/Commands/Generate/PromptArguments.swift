import ArgumentParser
import Bootstrap
import Foundation
import Generation
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

    @Flag(help: .hidden)
    var chat = false

    @Option(parsing: .unconditional, help: .hidden)
    var system: String?

    var isBatch: Bool { prompts != nil }

    mutating func validate() throws {
        if chat || system != nil {
            throw ValidationError("--chat is not built yet; give the prompt as the model expects it with --prompt.")
        }
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
    func prompts(model: OpenedModel, tokenizer: ModelTokenizer) throws -> [Prompt] {
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
            let tokens = try model.encode(text.bytes, from: text.source, tokenizer: tokenizer)
            guard !tokens.isEmpty else {
                throw RunError(.badInput, "\(text.source): the prompt is empty: it encodes to no token")
            }
            return Prompt(tokens: tokens, source: text.source)
        }
    }

    /// The prompts as bytes, each with the option, file or line that it comes from.
    private func texts() throws -> [(bytes: [UInt8], source: String)] {
        if let prompt { return [(Array(prompt.utf8), "--prompt")] }
        if let promptFile { return [(try readRankInput(promptFile), promptFile)] }
        guard let prompts else { return [] }
        let lines = try readRankInput(prompts).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let texts: [(bytes: [UInt8], source: String)] = try lines.enumerated().compactMap { number, line in
            guard line.contains(where: { !" \t\r".utf8.contains($0) }) else { return nil }
            let decoder = JSONDecoder()
            struct Object: Decodable { let prompt: String }
            let data = Data(line)
            let place = "\(prompts), line \(number + 1)"
            if let text = try? decoder.decode(String.self, from: data) { return (Array(text.utf8), place) }
            if let object = try? decoder.decode(Object.self, from: data) { return (Array(object.prompt.utf8), place) }
            throw RunError(.badInput, "\(place): it is no JSON string and no object with \"prompt\"")
        }
        guard !texts.isEmpty else {
            throw RunError(.badInput, "\(prompts) holds no prompt: give one a line, as a JSON string")
        }
        return texts
    }
}

import Foundation
import TestSupport
import Testing

/// Conversations through the programs, with a template beside a model that has none.
@Suite struct ChatCommandTests {
    private static let model = "\(ProgramRun.repositoryPath)/Models/tale-23m"
    private let folder: TemporaryFolder
    private let template: String

    init() throws {
        folder = try TemporaryFolder()
        template = try folder.write(
            """
            {{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}
            {% endfor %}{% if tools %}tools: {{ tools | length }}
            {% endif %}assistant:
            """, to: "template.jinja")
    }

    private var chat: [String] { ["--model", Self.model, "--chat", "--chat-template", template] }

    private func generate(_ arguments: [String], input: String? = nil) throws -> ProgramOutcome {
        try ProgramRun.run(
            "generate", chat + ["--temperature", "0", "--max-tokens", "8", "--log-level", "error"] + arguments,
            input: input)
    }

    private func tokens(_ arguments: [String]) throws -> [Int32] {
        struct Tokens: Decodable { let ids: [Int32] }
        let outcome = try ProgramRun.run("tokenize", chat + ["--format", "json"] + arguments, isShort: true)
        try #require(outcome.status == 0, "\(outcome.errors)")
        let tokens: Tokens = try outcome.json()
        return tokens.ids
    }

    /// What `generate` runs on, `tokenize` shows.
    @Test func promptsAreTheTemplates() throws {
        let outcome = try generate(["--prompt", "Hello", "--system", "Be brief", "--format", "json"])
        try #require(outcome.status == 0, "\(outcome.errors)")
        let found: GenerateOutput = try outcome.json()
        #expect(try found.promptTokenIDs == tokens(["--text", "Hello", "--system", "Be brief"]))
        let plain = try ProgramRun.run(
            "tokenize",
            [
                "--model", Self.model, "--format", "json", "--text",
                "<|begin_of_text|>system: Be brief\nuser: Hello\nassistant:",
            ], isShort: true)
        struct Tokens: Decodable { let ids: [Int32] }
        let expected: Tokens = try plain.json()
        #expect(found.promptTokenIDs == expected.ids)
        // Only the answer is printed.
        let text = try generate(["--prompt", "Hello", "--system", "Be brief"])
        #expect(text.output == (found.outputs.first?.text ?? "") + "\n")
    }

    @Test func namesOfSpecialTokensArePlainText() throws {
        let name = "<|begin_of_text|>"
        let safe = try tokens(["--text", name])
        let open = try tokens(["--text", name, "--special", "on"])
        #expect(safe.filter { $0 == safe[0] }.count == 1 && open.filter { $0 == safe[0] }.count == 2)
    }

    /// A conversation that stays in the cache gives the answers of one that is given as a whole.
    @Test func linesAreTurns() throws {
        let turns = try generate(["--interactive"], input: "Hello there\nWhat is it?\n")
        try #require(turns.status == 0, "\(turns.errors)")
        let first = try generate(["--prompt", "Hello there", "--format", "json"])
        let answer = try #require((try first.json() as GenerateOutput).outputs.first?.text)
        #expect(turns.output.hasPrefix(answer + "\n"))
        let messages = [
            ["role": "user", "content": "Hello there"], ["role": "assistant", "content": answer],
            ["role": "user", "content": "What is it?"],
        ]
        let line = try JSONSerialization.data(withJSONObject: ["messages": messages])
        let path = try folder.write(line + Data("\n".utf8), to: "turns.jsonl")
        let whole = try generate(["--prompts", path])
        try #require(whole.status == 0, "\(whole.errors)")
        struct Result: Decodable {
            struct Output: Decodable { let text: String }
            let outputs: [Output]
        }
        let result = try JSONDecoder().decode(Result.self, from: Data(whole.output.utf8))
        #expect(turns.output == "\(answer)\n\(try #require(result.outputs.first).text)\n")
    }

    @Test func badInputIsNamed() throws {
        func expect(_ status: Int32, _ words: [String], _ arguments: [String]) throws {
            let outcome = try ProgramRun.run("generate", arguments, isShort: true)
            #expect(outcome.status == status && outcome.errorLines.count == 1, "\(outcome.errors)")
            for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
        }
        try expect(66, ["no chat template", "--chat-template"], ["--model", Self.model, "--chat", "--prompt", "a"])
        try expect(64, ["--tools"], ["--model", Self.model, "--tools", "x", "--prompt", "a"])
        try expect(64, ["--chat-template-kwargs"], chat + ["--prompt", "a", "--chat-template-kwargs", "[1]"])
        let tools = try folder.write("{}", to: "tools.json")
        try expect(65, ["tools.json", "array"], chat + ["--prompt", "a", "--tools", tools])
        let lines = try folder.write("{\"messages\": [{\"content\": \"a\"}]}\n", to: "lines.jsonl")
        try expect(65, ["lines.jsonl, line 1", "roles"], chat + ["--prompts", lines])
        let raising = try folder.write("\n{{ raise_exception('no more') }}", to: "raising.jinja")
        try expect(
            65, ["raising.jinja", "line 2", "no more"],
            ["--model", Self.model, "--chat", "--chat-template", raising, "--prompt", "a"])
        try expect(64, ["messages"], chat + ["--prompt", "a", "--chat-template-kwargs", "{\"messages\": 1}"])
        let both = try folder.write("{\"prompt\": \"a\", \"tools\": 3}\n", to: "both.jsonl")
        try expect(65, ["both.jsonl, line 1"], chat + ["--prompts", both])
        let bytes = try folder.write(Data([0x61, 0xFF]), to: "bytes.txt")
        try expect(65, ["bytes.txt", "UTF-8"], chat + ["--prompt-file", bytes])
    }
}

import Foundation
import TestSupport
import Testing

/// Sequences that are longer than a run is planned for are refused before anything is computed.
@Suite struct LengthTests {
    private static let story = String(repeating: "Once upon a time there was a king. ", count: 120)

    @Test(arguments: [nil, 2]) func windowsBeyondTheLimitAreRefused(ranks: Int?) throws {
        let folder = try TemporaryFolder()
        let text = try folder.write(Self.story, to: "text")
        try Refusal(65, naming: "--window 512", "--max-model-len 256").expect(
            "evaluate",
            ["perplexity", "--model", embeddedModel, "--text", text, "--limit", "1", "--max-model-len", "256"],
            ranks: ranks)
    }

    /// Prompts beyond what memory allows are refused, although that limit is known only after the prompts are read.
    @Test func promptsBeyondWhatMemoryAllowsAreRefused() throws {
        for more in [["--n", "1"], ["--n", "8"]] {
            try Refusal(65, naming: "does not fit into", "that memory has room for").expect(
                "generate",
                [
                    "--model", embeddedModel, "--memory", "90MiB", "--max-model-len", "auto", "--prompt", Self.story,
                    "--max-tokens", "4", "--log-level", "error", "--seed", "1",
                ] + more)
        }
    }

    /// A short prompt gets as many new tokens as memory has room for, and ends with "length".
    @Test func newTokensEndWhereMemoryDoes() throws {
        let outcome = try ProgramRun.run(
            "generate",
            [
                "--model", embeddedModel, "--memory", "90MiB", "--max-model-len", "auto", "--prompt", "hello",
                "--max-tokens", "1900", "--ignore-eos", "--temperature", "0", "--format", "json", "--log-level",
                "error",
            ])
        let found: GenerateOutput = try outcome.json()
        let output = try #require(found.outputs.first)
        #expect(outcome.status == 0 && output.finishReason == "length")
        #expect((1..<1900).contains(output.tokenIDs.count))
        // The cache consists of whole blocks of 64 positions.
        #expect((found.promptTokenIDs.count + output.tokenIDs.count) % 64 == 0)
    }

    @Test func benchRefusesWhatTheModelCannotHold() throws {
        try Refusal(65, naming: "--prompt-length 512", "512 positions").expect(
            "bench", ["run", "--model", "\(goldenPath)/llama-mha", "--log-level", "error"])
        try Refusal(65, naming: "--new-tokens 4", "2048 positions").expect(
            "bench", ["run", "--model", embeddedModel, "--prompt-length", "2045", "--new-tokens", "4"])
        try Refusal(65, naming: "64 positions").expect(
            "bench",
            ["run", "--model", embeddedModel, "--prompt-length", "300", "--new-tokens", "4", "--max-model-len", "64"])
    }

    /// The message about the model's own limit does not suggest raising it, because that is impossible.
    @Test func theModelsOwnLimitIsCalledThat() throws {
        let ids = (0..<600).map { "\($0 % 90)" }.joined(separator: ",")
        let model = "\(goldenPath)/llama-mha"
        try Refusal(65, naming: "600 tokens", "within 512", "the model's own limit").expect(
            "generate", ["--model", model, "--prompt-token-ids", ids])
        try Refusal(65, naming: "within 100", "raise --max-model-len (the model goes up to 512)").expect(
            "generate", ["--model", model, "--prompt-token-ids", ids, "--max-model-len", "100"])
    }

    /// A long line of a batch limits only its own new tokens; the others get all that they ask for.
    @Test func aLongLineCutsNoOther() throws {
        let folder = try TemporaryFolder()
        let prompts = try folder.write(
            "\"hello\"\n\"\(String(repeating: "Once upon a time there was a king. ", count: 226))\"\n", to: "prompts")
        func lengths(_ path: String) throws -> [(prompt: Int, output: Int)] {
            let outcome = try ProgramRun.run(
                "generate",
                [
                    "--model", embeddedModel, "--prompts", path, "--max-tokens", "50", "--temperature", "0",
                    "--ignore-eos", "--log-level", "error",
                ])
            struct Line: Decodable {
                let prompt_token_ids: [Int]
                let outputs: [GenerateOutput.Sequence]
            }
            return try outcome.output.split(separator: "\n").map {
                let line = try JSONDecoder().decode(Line.self, from: Data($0.utf8))
                return (line.prompt_token_ids.count, line.outputs[0].tokenIDs.count)
            }
        }
        let found = try lengths(prompts)
        try #require(found.count == 2)
        #expect(found[0].output == 50)
        #expect(found[1].output == min(50, 2048 - found[1].prompt), "the long line has \(found[1].prompt) tokens")
        #expect(found[1].output < 50)
    }
}

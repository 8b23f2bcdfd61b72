import Foundation
import TestSupport
import Testing

/// Tests what all programs have in common, and `tokenize`.
@Suite(.serialized) struct ProgramTests {
    @Test(arguments: ["generate", "evaluate", "bench", "all_reduce_bench", "tokenize", "quantize", "sizing"])
    func helpAndVersion(
        program: String
    )
        throws
    {
        let version = try ProgramRun.run(program, ["--version"], isShort: true)
        #expect(version.status == 0 && version.output == "0.1.0\n" && version.errors == "")
        let help = try ProgramRun.run(program, ["--help"], isShort: true)
        #expect(help.status == 0 && help.output.contains("USAGE: \(program)") && help.errors == "")
    }

    /// Under mpirun only one rank answers.
    @Test func helpFromTwoRanks() throws {
        let help = try ProgramRun.run("evaluate", ["perplexity", "--help"], ranks: 2, isShort: true)
        #expect(help.status == 0 && help.errorLines == [])
        #expect(help.output.components(separatedBy: "USAGE:").count == 2)
        let version = try ProgramRun.run("generate", ["--version"], ranks: 2, isShort: true)
        #expect(version.status == 0 && version.output == "0.1.0\n")
    }

    /// Every option of the interface is in the help.
    @Test func theHelpNamesTheOptions() throws {
        let help = try ProgramRun.run("generate", ["--help"], isShort: true).output
        for option in [
            "model", "dtype", "quantization", "group-size", "kv-cache-dtype", "max-model-len", "threads", "lm-head",
            "symmetric",
            "asymmetric", "granularity", "activation-dtype", "memory", "timeout", "all-reduce-dtype",
            "check-collectives",
            "tensor-parallel-size", "pipeline-parallel-size", "topology", "prompt", "prompt-file", "prompt-token-ids",
            "interactive", "prompts", "max-tokens", "temperature", "top-k", "top-p", "min-p", "repetition-penalty",
            "presence-penalty", "frequency-penalty", "seed", "stop", "ignore-eos", "n", "logprobs", "prompt-logprobs",
            "logits-digest", "trace-step", "trace", "trace-steps", "kernels", "log-level", "format",
        ] {
            #expect([" ", "\n", "/", ","].contains { help.contains("--\(option)\($0)") }, "\(option)")
        }
    }

    private func tokenize(_ arguments: [String], input: String? = nil) throws -> String {
        let outcome = try ProgramRun.run(
            "tokenize", ["--model", embeddedModel] + arguments, input: input, isShort: true)
        try #require(outcome.status == 0 && outcome.errors == "", "\(outcome.errors)")
        return outcome.output
    }

    @Test func textToTokensAndBack() throws {
        struct Tokens: Decodable {
            let ids: [Int32]
            let pieces: [String]
            let count: Int
        }
        let text = "Once upon a time, in “Öz” 🦁 …"
        func tokens(_ arguments: [String], input: String? = nil) throws -> Tokens {
            try JSONDecoder().decode(
                Tokens.self, from: Data(tokenize(arguments + ["--format", "json"], input: input).utf8))
        }
        let found = try tokens(["--text", text])
        #expect(found.count == found.ids.count && found.pieces.count == found.count && found.count > 8)
        let list = found.ids.map(String.init).joined(separator: ",")
        #expect(try tokenize(["--decode", list]) == text + "\n")
        #expect(try tokens(["--file", "-"], input: text).ids == found.ids)
        #expect(try tokens(["--text", text, "--special", "on"]).ids == [0] + found.ids)

        let lines = try tokenize(["--text", "Once upon"]).split(separator: "\n")
        #expect(lines.last?.hasSuffix("tokens, 9 bytes") == true && lines.count > 2)
        #expect(
            try tokenize(["--jsonl", "-"], input: "\"Once upon a time\"\n\n\"a\"\n").split(separator: "\n").count == 2)
        #expect(try tokenize(["--decode-jsonl", "-"], input: "[\(list)]\n") == text + "\n")

        struct Stream: Decodable {
            let chunks: [String]
            let final: String
        }
        let stream = try JSONDecoder().decode(
            Stream.self, from: Data(tokenize(["--decode", list, "--stream", "--format", "json"]).utf8))
        #expect(stream.chunks.count == found.count && stream.chunks.joined() + stream.final == text)
        #expect(stream.chunks.contains(""), "the lion's bytes come one token at a time, and show together")
    }
}

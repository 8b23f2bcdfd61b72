import Foundation
import Kernels
import TestSupport
import Testing

/// Programs give the same logits, bit for bit, however the work is divided, as `--logits-digest` shows.
@Suite(.serialized) struct OneAnswerTests {
    /// A quantized model and a prompt for it.
    struct Subject: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let arguments: [String]
    }

    private static let tale =
        "Once upon a time there was a king who had three daughters, and the youngest of them was so"

    /// Plans of every kind with even shares, up to 8 ranks.
    private static let plans = [
        Degrees(2, 1), Degrees(4, 1), Degrees(8, 1), Degrees(1, 2), Degrees(1, 3), Degrees(2, 2), Degrees(2, 3),
        Degrees(4, 2),
    ]

    private static func golden(_ name: String, _ bits: String) -> Subject {
        let ids = (0..<40).map { "\(($0 * 37 + 11) % 256)" }.joined(separator: ",")
        return Subject(
            testDescription: "\(name) \(bits)",
            arguments: [
                "--model", "\(goldenPath)/\(name)", "--quantization", bits, "--group-size", "32", "--prompt-token-ids",
                ids,
            ])
    }

    static let embedded = Subject(
        testDescription: "tale-23m", arguments: ["--model", embeddedModel, "--prompt", tale])
    static let subjects = [
        embedded, golden("llama-gqa-tied", "w8a8"), golden("qwen2", "int4"),
    ]

    /// The parts of an answer that must not change: tokens, log-probabilities and a hash of every step's logits.
    private struct Answer: Equatable {
        let prompt: [UInt32]
        let tokens: [Int32]
        let digests: [String]
        let text: String

        init(_ output: GenerateOutput) throws {
            prompt = try #require(output.promptLogProbabilities).map { $0?.bitPattern ?? 0 }
            tokens = try #require(output.outputs.first).tokenIDs
            digests = try #require(output.outputs[0].digests)
            text = output.outputs[0].text
            // Digests that are the same for different steps would prove nothing.
            try #require(digests.count == tokens.count && Set(digests).count == tokens.count && Set(prompt).count > 1)
        }

        func difference(from other: Answer) -> String? {
            if self == other { return nil }
            if prompt != other.prompt { return "prompt log-probabilities differ" }
            let place = zip(digests, other.digests).enumerated().first { $1.0 != $1.1 }?.offset ?? digests.count
            return "the logits of step \(place) of \(digests.count) differ"
        }
    }

    private func generate(_ subject: Subject, _ more: [String] = [], ranks: Int? = nil) throws -> ProgramOutcome {
        try ProgramRun.run(
            "generate",
            subject.arguments + [
                "--max-tokens", "12", "--temperature", "0", "--ignore-eos", "--prompt-logprobs", "--logits-digest",
                "--format",
                "json", "--log-level", "error",
            ] + more, ranks: ranks)
    }

    private func answer(_ subject: Subject, _ more: [String] = [], ranks: Int? = nil) throws -> Answer {
        let outcome = try generate(subject, more, ranks: ranks)
        try #require(outcome.status == 0, "\(more): \(outcome.errors)")
        return try Answer(outcome.json())
    }

    @Test(arguments: subjects) func atEveryDegree(subject: Subject) throws {
        let whole = try answer(subject)
        for plan in Self.plans {
            let found = try answer(subject, plan.arguments, ranks: plan.ranks)
            #expect(found.difference(from: whole) == nil, "\(plan)")
        }
    }

    @Test(arguments: subjects) func withAnyThreadsAndChunks(subject: Subject) throws {
        let whole = try answer(subject, ["--threads", "1"])
        for arguments in [
            ["--threads", "2"], ["--threads", "3"], ["--max-num-batched-tokens", "1"],
            ["--max-num-batched-tokens", "7"],
            ["--max-num-batched-tokens", "512"],
        ] {
            #expect(try answer(subject, arguments).difference(from: whole) == nil, "\(arguments)")
        }
        // The chunks of all stages must stay in step.
        let divided = try answer(
            subject, ["-tp", "1", "-pp", "2", "--threads", "1", "--max-num-batched-tokens", "7"], ranks: 2)
        #expect(divided.difference(from: whole) == nil, "chunks over two stages")
    }

    /// Within a table the plan changes nothing; tables that do not round their inputs all agree.
    @Test(arguments: subjects) func withEveryKernelTable(subject: Subject) throws {
        let reference = try answer(subject, ["--kernels", "scalar"])
        for (table, runs) in KernelTable.all {
            let outcome = try generate(subject, ["--kernels", table.name])
            guard runs else {
                #expect(outcome.status == 65 && outcome.errors.contains("cannot run the \(table.name) kernels"))
                continue
            }
            try #require(outcome.status == 0, "\(table.name): \(outcome.errors)")
            let output: GenerateOutput = try outcome.json()
            #expect(output.plan?.kernels == table.name)
            let whole = try Answer(output)
            if !table.roundsInputs { #expect(whole.difference(from: reference) == nil, "\(table.name)") }
            for arguments in [["-tp", "2"], ["-tp", "1", "-pp", "2", "--max-num-batched-tokens", "7"]] {
                let divided = try answer(subject, ["--kernels", table.name] + arguments, ranks: 2)
                #expect(divided.difference(from: whole) == nil, "\(table.name) \(arguments)")
            }
        }
    }

    @Test func withCheckedCollectives() throws {
        let whole = try answer(Self.embedded)
        let checked = try answer(Self.embedded, ["-tp", "2", "-pp", "2", "--check-collectives"], ranks: 4)
        #expect(checked.difference(from: whole) == nil)
    }

    /// Rounded all-reduces give other bits, which are the same on every rank, and nearly the same numbers.
    @Test(arguments: ["bfloat16", "int8"]) func withRoundedSums(type: String) throws {
        let whole = try answer(Self.embedded)
        let alone = try answer(Self.embedded, ["--all-reduce-dtype", type])
        #expect(alone.difference(from: whole) == nil)
        let divided = try answer(Self.embedded, ["--all-reduce-dtype", type], ranks: 2)
        #expect(divided.difference(from: whole) != nil)
        #expect(try answer(Self.embedded, ["--all-reduce-dtype", type], ranks: 2).difference(from: divided) == nil)
    }

    /// A topology file with uneven stages does not change the answer either.
    @Test func withUnevenStages() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(
            #"{"tensor_parallel_size": 1, "pipeline_parallel_size": 2, "layers": [1, 5]}"#, to: "topology.json")
        let whole = try answer(Self.embedded)
        #expect(try answer(Self.embedded, ["--topology", path], ranks: 2).difference(from: whole) == nil)
    }

    @Test(arguments: [nil, 2]) func aloneAndInABatch(ranks: Int?) throws {
        let prompts = [
            "The sea was calm", Self.tale, "A",
            "\"Who is there?\" asked the old woman. \"It is only the wind,\" said the child.",
            "In the middle of the forest stood a house",
        ]
        let folder = try TemporaryFolder()
        let lines = try prompts.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) }
        let path = try folder.write(lines.joined(separator: "\n"), to: "prompts.jsonl")
        let batch = try generate(
            Subject(testDescription: "", arguments: ["--model", embeddedModel, "--prompts", path]),
            ["--max-num-seqs", "4"], ranks: ranks)
        try #require(batch.status == 0, "\(batch.errors)")
        let outputs = try batch.output.split(separator: "\n").map {
            try JSONDecoder().decode(GenerateOutput.self, from: Data($0.utf8))
        }
        try #require(outputs.count == prompts.count)
        for (prompt, output) in zip(prompts, outputs) {
            let alone = try answer(
                Subject(testDescription: "", arguments: ["--model", embeddedModel, "--prompt", prompt]))
            #expect(try Answer(output).difference(from: alone) == nil, "\(prompt)")
        }
        let several: GenerateOutput = try generate(Self.embedded, ["--n", "3"], ranks: ranks).json()
        let alone = try answer(Self.embedded)
        #expect(several.outputs.count == 3)
        for output in several.outputs { #expect(output.digests == alone.digests) }
    }

    /// Text mode streams the prompt and then the same characters that the JSON contains.
    @Test(arguments: [nil, 2]) func streamedTextIsTheText(ranks: Int?) throws {
        let prompt = "It’s a “naïve” café:"
        let arguments = [
            "--model", embeddedModel, "--prompt", prompt, "--max-tokens", "60", "--seed", "5", "--log-level", "error",
        ]
        let json: GenerateOutput = try ProgramRun.run("generate", arguments + ["--format", "json"], ranks: ranks).json()
        let text = try ProgramRun.run("generate", arguments, ranks: ranks)
        #expect(text.status == 0 && text.output == prompt + json.outputs[0].text + "\n", "\(text.output)")
        #expect(text.errorLines.count == 1 && text.errors.contains("tokens/s"), "a closing line: \(text.errors)")
    }
}

import Foundation
import TestSupport
import Testing

/// Every program reads every kind of input, and reports in one line what it cannot read.
@Suite(.serialized) struct InputTests {
    private static let generate =
        "$PROGRAMS/generate --model $MODEL --max-tokens 6 --temperature 0 --ignore-eos --log-level error"
    private static let evaluate =
        "$PROGRAMS/evaluate perplexity --model $MODEL --window 16 --limit 2 --format json --log-level error"
    private static let tokenize = "$PROGRAMS/tokenize --model $MODEL"
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func shell(_ line: String) throws -> ProgramOutcome {
        try ProgramRun.shell(line, ["MODEL": embeddedModel, "FOLDER": folder.path])
    }

    private func refuse(
        _ status: Int32, _ line: String, naming words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let outcome = try shell(line)
        let shown = "\(line): status \(outcome.status), \(outcome.errors)"
        #expect(outcome.status == status, "\(shown)", sourceLocation: sourceLocation)
        #expect(outcome.output == "" && outcome.errorLines.count == 1, "\(shown)", sourceLocation: sourceLocation)
        for word in words { #expect(outcome.errors.contains(word), "\(shown)", sourceLocation: sourceLocation) }
    }

    @Test(arguments: [
        "\(generate) --prompt-file -", "\(generate) --prompts -", "\(generate) --interactive", "\(evaluate) --text -",
        "\(tokenize) --file -", "\(tokenize) --jsonl -", "\(tokenize) --decode-jsonl -",
        "\(tokenize) --file /dev/stdin",
    ])
    func standardInputThatCannotBeRead(_ line: String) throws {
        try refuse(66, "\(line) <&-", naming: "standard input", "closed")
        try refuse(66, "\(line) </tmp", naming: "standard input", "directory")
    }

    @Test(arguments: [
        "\(generate) --prompt-file", "\(generate) --prompts", "\(evaluate) --text", "\(tokenize) --file",
        "\(tokenize) --jsonl", "\(tokenize) --decode-jsonl",
    ])
    func filesThatCannotBeRead(_ line: String) throws {
        try refuse(66, "\(line) /tmp", naming: "/tmp is a directory")
        try refuse(66, "\(line) /nonesuch", naming: "no such file: /nonesuch")
        try refuse(66, "\(line) $MODEL/config.json/x", naming: "config.json/x")
    }

    /// A text gives the same result from a file, from a pipe, and from standard input of both kinds.
    @Test func pipes() throws {
        _ = try folder.write(
            "Once upon a time there was a king who lived by the sea, and he had a daughter. \n", to: "a")
        _ = try folder.write("\"Once\"\n\"It was\"\n", to: "jsonl")
        _ = try folder.write("[5, 9]\n[7]\n", to: "ids")
        for (line, file) in [
            ("\(Self.generate) --prompt-file", "a"), ("\(Self.generate) --prompts", "jsonl"),
            ("\(Self.tokenize) --file", "a"), ("\(Self.tokenize) --jsonl", "jsonl"),
            ("\(Self.tokenize) --decode-jsonl", "ids"),
        ] {
            let expected = try shell("\(line) $FOLDER/\(file)")
            #expect(expected.status == 0 && !expected.output.isEmpty, "\(line): \(expected.errors)")
            for source in [
                "<(cat $FOLDER/\(file))", "<(head -c 3 $FOLDER/\(file); sleep 0.1; tail -c +4 $FOLDER/\(file))",
                "/dev/stdin <$FOLDER/\(file)", "- < <(cat $FOLDER/\(file))",
            ] {
                let found = try shell("\(line) \(source)")
                #expect(found.status == 0 && found.output == expected.output, "\(line) \(source): \(found.errors)")
            }
        }
        struct Score: Decodable { let perplexity: Double }
        let expected: Score = try shell("\(Self.evaluate) --text $FOLDER/a").json()
        #expect(
            try shell("\(Self.evaluate) --text <(cat $FOLDER/a)").json(Score.self).perplexity == expected.perplexity)
        #expect(try shell("\(Self.tokenize) --file /dev/null").output == "0 tokens, 0 bytes\n")
    }

    /// Files that options name may be pipes: a plan, a profile, a report.
    @Test func pipesOfOptions() throws {
        let plan = "$PROGRAMS/sizing plan --model tinyllama-1.1b --memory 8GiB --format json"
        let fixed = try shell("\(plan) -tp 2")
        #expect(fixed.status == 0, "\(fixed.errors)")
        #expect(try shell("\(plan) --topology <(echo '{\"tensor_parallel_size\": 2}')").output == fixed.output)
        let profile = try shell("$PROGRAMS/sizing plan --model tinyllama-1.1b --memory 8GiB --profile <(echo '{')")
        #expect(profile.status == 65 && profile.errors.contains("/dev/fd/"), "\(profile.errors)")
        let link = try shell("\(plan) --interconnect <(echo '{\"fit\": {\"alpha_us\": 1, \"beta_ns_per_byte\": 1}}')")
        #expect(link.status == 0, "\(link.errors)")
        let shape = try shell(
            "$PROGRAMS/generate --prompt-token-ids 5 --max-tokens 1 --seed 1 --log-level error "
                + "--model synthetic:<(cat Tests/Golden/checkpoints/llama-mha/config.json)")
        #expect(shape.status == 0 && !shape.output.isEmpty, "\(shape.errors)")
        try refuse(66, "\(plan) --topology /tmp", naming: "/tmp is a directory")
        try refuse(66, "\(plan) --profile /tmp", naming: "/tmp is a directory")
        try refuse(66, "\(plan) --interconnect /nonesuch", naming: "no such file: /nonesuch")
    }

    /// Text that is not UTF-8 is refused wherever it comes from, and never repaired silently.
    @Test func argumentsThatAreNoText() throws {
        try refuse(65, "\(Self.generate) --prompt $'ab\\xff'", naming: "--prompt", "UTF-8", "byte 2")
        try refuse(65, "\(Self.generate) --prompt=$'ab\\xff'", naming: "--prompt ", "UTF-8", "byte 11")
        try refuse(65, "\(Self.generate) --prompt a --stop $'\\xc3('", naming: "--stop", "byte 0")
        try refuse(65, "\(Self.tokenize) --text $'\\xed\\xa0\\x80'", naming: "--text", "byte 0")
        try refuse(65, "$PROGRAMS/sizing plan --memory 1GiB --model $'/a\\xff'", naming: "--model", "byte 2")
        try refuse(
            65, "printf 'a\\xff\\n' | \(Self.generate) --interactive", naming: "standard input, line 1", "byte 1")
        let outcome = try shell("printf 'Once\\n\\xffa\\n' | \(Self.generate) --interactive")
        #expect(outcome.status == 65 && outcome.errors.contains("standard input, line 2"), "\(outcome.errors)")
    }

    /// The message about a bad line of a batch has the line's number, whatever is wrong with the line.
    @Test func linesThatEncodeToNothing() throws {
        let model = try StoryModel(changing: [
            "tokenizer.json": {
                $0["normalizer"] = ["type": "Replace", "pattern": ["String": "zzz"], "content": ""] as [String: Any]
                $0["post_processor"] = NSNull()
            }
        ])
        let lines = try folder.write("\"Once\"\n\n{\"prompt\": \"zzz\"}\n", to: "batch.jsonl")
        let arguments = ["--model", model.path, "--max-tokens", "3", "--temperature", "0", "--log-level", "error"]
        try Refusal(65, naming: "\(lines), line 3", "empty").expect("generate", arguments + ["--prompts", lines])
        try Refusal(65, naming: "--prompt: ", "empty").expect("generate", arguments + ["--prompt", "zzz"])

        // A conversation skips such a line, even the first one.
        func talk(_ input: String) throws -> ProgramOutcome {
            try ProgramRun.run("generate", arguments + ["--ignore-eos", "--interactive"], input: input)
        }
        let plain = try talk("Once\nthen\n")
        let found = try talk("zzz\nOnce\nzzz\nthen\n")
        #expect(found.status == 0 && found.output == plain.output && plain.output.split(separator: "\n").count >= 2)
        #expect(found.errors.contains("standard input, line 1 ") && found.errors.contains("line 3 "), "\(found.errors)")
        #expect(try talk("zzz\n").status == 0)
    }

    @Test(arguments: [nil, 2]) func conversationsThatCannotBegin(ranks: Int?) throws {
        let arguments = ["--model", embeddedModel, "--interactive", "--temperature", "0", "--log-level", "error"]
        try Refusal(65, naming: "standard input, line 1", "within 3", "--max-model-len").expect(
            "generate", arguments + ["--max-model-len", "3"], ranks: ranks, input: "Once upon a time\n")
        try Refusal(64, naming: "--interactive", "--n").expect("generate", arguments + ["--n", "2"], ranks: ranks)
        try Refusal(64, naming: "--interactive", "--max-tokens").expect(
            "generate", arguments + ["--max-tokens", "0"], ranks: ranks)
    }

    /// `add_bos_token` of tokenizer_config.json decides whether a token is put before a prompt.
    @Test func switchesOfTheTokenizersConfiguration() throws {
        func promptTokens(_ change: @escaping (inout [String: Any]) -> Void) throws -> [Int32] {
            let model = try StoryModel(changing: ["tokenizer_config.json": change])
            return try ProgramRun.run(
                "generate",
                [
                    "--model", model.path, "--prompt", "Once", "--max-tokens", "1", "--temperature", "0", "--format",
                    "json",
                    "--log-level", "error",
                ]
            ).json(GenerateOutput.self).promptTokenIDs
        }
        let plain = try promptTokens { _ in }
        #expect(plain.first == 0 && plain.count > 1)
        #expect(try promptTokens { $0["add_bos_token"] = true } == plain)
        #expect(try promptTokens { $0["add_bos_token"] = false } == Array(plain.dropFirst()))
        #expect(try promptTokens { $0["add_eos_token"] = true } == plain + [1])
    }
}

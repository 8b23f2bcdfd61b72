import Foundation
import TestSupport
import Testing

/// Tests where results are written, and what happens if they cannot be written.
@Suite(.serialized) struct OutputTests {
    private static let generate =
        "$PROGRAMS/generate --model $MODEL --prompt Once --max-tokens 6 --temperature 0 --ignore-eos --log-level error"
    private static let evaluate =
        "$PROGRAMS/evaluate perplexity --model $MODEL --text $MODEL/README.md --window 16 --limit 1 --log-level error"
    private static let bench =
        "$PROGRAMS/bench run --model $MODEL --prompt-length 4 --new-tokens 2 --rounds 1 --log-level error"
    private static let tokenize = "$PROGRAMS/tokenize --model $MODEL --text Once"
    private static let allReduce = "$PROGRAMS/all_reduce_bench -e 64 -n 1"
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func shell(_ line: String) throws -> ProgramOutcome {
        try ProgramRun.shell(line, ["MODEL": embeddedModel, "FOLDER": folder.path])
    }

    private func text(_ name: String) -> String? {
        FileManager.default.contents(atPath: "\(folder.path)/\(name)").map { String(decoding: $0, as: UTF8.self) }
    }

    private var names: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() }
    }

    /// The file has the content that standard output would have, and no other file is left next to it.
    @Test(arguments: ["", "Launch/local.sh 2 "]) func resultsInAFile(_ launcher: String) throws {
        for (line, isSame) in [
            (Self.generate, true), (Self.generate + " --format json", false), (Self.evaluate, false),
            (Self.allReduce, false), (launcher.isEmpty ? Self.tokenize : Self.generate, true),
        ] {
            let plain = try shell(launcher + line)
            let outcome = try shell("\(launcher)\(line) --output $FOLDER/result")
            #expect(outcome.status == 0 && outcome.output == "", "\(line): \(outcome.errors)")
            let found = try #require(text("result"), "\(line)")
            #expect(!isSame || found == plain.output, "\(line): \(found)")
            #expect(found.prefix(9) == plain.output.prefix(9) && found.hasSuffix("\n"), "\(line): \(found)")
            #expect(try names == ["result"], "\(line)")
            try FileManager.default.removeItem(atPath: "\(folder.path)/result")
        }
    }

    @Test func figuresInFiles() throws {
        let outcome = try shell("\(Self.bench) --json $FOLDER/figures --output $FOLDER/table --header")
        #expect(outcome.status == 0 && outcome.output == "", "\(outcome.errors)")
        #expect(text("table")?.split(separator: "\n").count == 2)
        #expect(try shell("\(Self.bench) --json $FOLDER/figures").status == 0)
        #expect(text("figures")?.split(separator: "\n").count == 2, "each run adds a line")
        #expect(try names == ["figures", "table"])
        let compared = try shell("$PROGRAMS/bench compare $FOLDER/figures <(cat $FOLDER/figures)")
        #expect(compared.status == 0 && compared.output.contains("1.0"), "\(compared.errors)")
    }

    /// An existing file stays unchanged until its replacement is complete.
    @Test func whatFailsLeavesNoFile() throws {
        _ = try folder.write("before", to: "result")
        for line in ["\(Self.generate) --max-model-len 1", "\(Self.generate) --stop a --topology /nonesuch"] {
            #expect(try shell("\(line) --output $FOLDER/result").status >= 65)
            #expect(try shell("\(line) --output $FOLDER/new").status >= 65)
            #expect(try names == ["result"])
            #expect(text("result") == "before")
        }
        // A file may have at most a kilobyte, as on a full disk.
        let long = try shell(
            "trap '' XFSZ; ulimit -f 1; $PROGRAMS/tokenize --model $MODEL --file $MODEL/README.md --output $FOLDER/new")
        #expect(long.status == 65 && long.errors.contains("--output"), "\(long.errors)")
        #expect(try names == ["result"])
    }

    /// The message names the option whose file cannot be written, and a device stays a device.
    @Test(arguments: [
        "\(generate) --output", "\(evaluate) --output", "\(tokenize) --output", "\(allReduce) --output",
        "\(bench) --output", "\(allReduce) --plot", "\(bench) --json", "Launch/local.sh 2 \(generate) --output",
    ])
    func filesThatCannotBeWritten(_ line: String) throws {
        let option = String(line.split(separator: " ").last ?? "")
        for path in ["/dev/full", "/nowhere/file", "$FOLDER"] {
            let outcome = try shell("\(line) \(path)")
            #expect(outcome.status == 65 && outcome.errors.contains(option), "\(line) \(path): \(outcome.errors)")
            #expect(outcome.errorLines.count { !$0.hasPrefix("loaded in") } == 1, "\(outcome.errors)")
        }
        var status = stat()
        #expect(stat("/dev/full", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
        #expect(try names == [])
    }

    /// A closed standard output is refused; the next opened file must not take its place.
    @Test(arguments: [
        generate, evaluate, tokenize, allReduce, bench, "$PROGRAMS/sizing models", "$PROGRAMS/generate --version",
        "$PROGRAMS/quantize --help",
    ])
    func standardOutputThatCannotBeWritten(_ line: String) throws {
        let name = line.contains("generate --version") ? "generate" : line.contains("quantize") ? "quantize" : ""
        for stream in [">&-", ">/dev/full"] {
            let outcome = try shell("\(line) \(stream)")
            #expect(outcome.status == 65, "\(line) \(stream): \(outcome.status) \(outcome.errors)")
            let lines = outcome.errorLines.filter { !$0.hasPrefix("loaded in") }
            #expect(lines.count == 1 && lines[0].contains("standard output"), "\(line) \(stream): \(outcome.errors)")
            #expect(lines.first?.range(of: "^[a-z_]+: ", options: .regularExpression) != nil, "\(outcome.errors)")
            #expect(name.isEmpty || lines.first?.hasPrefix("\(name): ") == true, "\(outcome.errors)")
        }
    }

    /// An infinite perplexity is null in JSON, with a line that says why, and "inf" in text.
    @Test func infinitePerplexity() throws {
        let checkpoint = try TestCheckpoint()
        // With logits of 10^30 the mean is finite, but its exponential is not.
        var weights = try checkpoint.data()
        let header = Int(weights.prefix(4).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) })
        for high in stride(from: 8 + header + 1, to: 8 + header + 32768, by: 2) where weights[high] & 0x7F != 0 {
            weights[high] += 50
        }
        try checkpoint.write(weights, to: "model.safetensors")
        try checkpoint.write(
            #"{"model": {"type": "BPE", "vocab": {"a": 3, "b": 9, "c": 200}, "merges": []}}"#, to: "tokenizer.json")
        let text = try folder.write("abcbacbaccbbaabc", to: "text")
        let arguments = [
            "perplexity", "--model", checkpoint.path, "--text", text, "--window", "4", "--log-level", "error",
        ]
        struct Score: Decodable {
            let perplexity: Double?
            let mean_nll: Double?
            let scored_tokens: Int
        }
        let json = try ProgramRun.run("evaluate", arguments + ["--format", "json"])
        let score: Score = try json.json()
        #expect(json.status == 0 && json.output.contains(#""perplexity":null"#), "\(json.output) \(json.errors)")
        #expect(score.perplexity == nil && (score.mean_nll ?? 0) > 1e3 && score.scored_tokens == 15)
        #expect(json.errors.contains("perplexity is no figure"), "\(json.errors)")
        let plain = try ProgramRun.run("evaluate", arguments)
        #expect(plain.status == 0 && plain.output.hasPrefix("perplexity inf, mean"), "\(plain.output) \(plain.errors)")
    }
}

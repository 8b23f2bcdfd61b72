import Foundation
import TestSupport
import Testing

/// Invalid options and prompts are refused with one line that names them.
@Suite(.serialized) struct BadUsageTests {
    let model = "\(goldenPath)/llama-mha"
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    @Test func noSuchModel() throws {
        try Refusal(66, naming: "/nonesuch").expectGenerate("/nonesuch")
        try Refusal(66, naming: "/nonesuch").expectGenerate("/nonesuch", ranks: 2)
        try Refusal(66, naming: "nonesuch/model").expectGenerate("nonesuch/model")
        try Refusal(66, naming: "nonesuch").expectGenerate("synthetic:nonesuch")
        try Refusal(65, naming: "a.gguf").expectGenerate("a.gguf")
        try Refusal(66, naming: "tokenizer.json").expect("generate", ["--model", model, "--prompt", "a"])
    }

    @Test func plansThatDoNotFit() throws {
        try Refusal(65, naming: "2", "1 rank").expectGenerate(model, ["-tp", "2"])
        try Refusal(65, naming: "is 4", "2 ranks").expectGenerate(model, ["-tp", "2", "-pp", "2"], ranks: 2)
        try Refusal(65, naming: "self_attn.q_proj.weight", "8 heads", "from 1 to 8").expectGenerate(model, ranks: 9)
        try Refusal(65, naming: "4 stages", "3 layers").expectGenerate(model, ["-pp", "4"], ranks: 4)
    }

    @Test func topologies() throws {
        func refuse(_ text: String, _ word: String, ranks: Int? = nil) throws {
            let path = try folder.write(text, to: "topology.json")
            try Refusal(65, naming: word).expectGenerate(model, ["--topology", path], ranks: ranks)
        }
        try Refusal(66, naming: "/nonesuch.json").expectGenerate(model, ["--topology", "/nonesuch.json"])
        try refuse("{", "topology.json")
        try refuse("[2, 2]", "topology.json")
        try refuse(#"{"tensor_parallel_size": "two"}"#, "topology.json")
        try refuse(#"{"tensor_parallel_size": 0}"#, "not 0 and 1")
        try refuse(#"{"tensor_parallel_size": 1, "weights": [-1]}"#, "weights")
        try refuse(#"{"tensor_parallel_size": 2, "weights": [1]}"#, "1 weights", ranks: 2)
        try refuse(#"{"pipeline_parallel_size": 2, "layers": [1, 1]}"#, "[1, 1]", ranks: 2)
        try Refusal(64, naming: "--topology").expectGenerate(model, ["--topology", "a.json", "-tp", "2"])
    }

    @Test func prompts() throws {
        func refuse(_ refusal: Refusal, _ arguments: [String], model: String = embeddedModel, ranks: Int? = nil) throws
        {
            try refusal.expect("generate", ["--model", model, "--log-level", "error"] + arguments, ranks: ranks)
        }
        try refuse(
            Refusal(65, naming: "4 tokens", "--max-model-len"),
            ["--prompt-token-ids", "1,2,3,4", "--max-model-len", "4"])
        try refuse(
            Refusal(65, naming: "4 tokens", "--max-model-len"),
            ["--prompt-token-ids", "1,2,3,4", "--max-model-len", "4"], ranks: 2)
        try refuse(Refusal(65, naming: "4000", "2048"), ["--prompt-token-ids", "1", "--max-model-len", "4000"])
        try refuse(Refusal(65, naming: "256", "0 to 255"), ["--prompt-token-ids", "5,256"], model: model)
        try refuse(Refusal(65, naming: "256", "0 to 255"), ["--prompt-token-ids", "5,256"], model: model, ranks: 2)
        try refuse(Refusal(65, naming: "-1", "0 to 255"), ["--prompt-token-ids", "5,-1"], model: model)
        for ids in ["5,x", "5,,6", ",", ""] {
            try refuse(Refusal(64, naming: "'\(ids)'"), ["--prompt-token-ids", ids])
        }
        try refuse(Refusal(64, naming: "99999999999"), ["--prompt-token-ids", "99999999999"])

        let path = try folder.write(Data([0x61, 0xFF, 0xFE]), to: "bad.txt")
        try refuse(Refusal(65, naming: "UTF-8", "byte 1", path), ["--prompt-file", path])
        try refuse(Refusal(65, naming: "UTF-8", "byte 1", path), ["--prompt-file", path], ranks: 2)
        try refuse(Refusal(66, naming: "/nonesuch.txt"), ["--prompt-file", "/nonesuch.txt"])
        let lines = try folder.write("\"a\"\n{\"text\": 1}\n", to: "bad.jsonl")
        try refuse(Refusal(65, naming: lines, "line 2"), ["--prompts", lines])
        let empty = try folder.write("\n", to: "empty.jsonl")
        try refuse(Refusal(65, naming: empty), ["--prompts", empty])
    }

    @Test func memoryThatIsTooSmall() throws {
        try Refusal(65, naming: "1.00 MiB", "weights", "--memory").expectGenerate(model, ["--memory", "1MiB"])
        try Refusal(65, naming: "1.00 MiB", "weights", "--memory").expectGenerate(
            model, ["--memory", "1MiB"], ranks: 2)
    }

    @Test(arguments: [
        ["--nonesuch"], ["--dtype", "float8"], ["--quantization", "int3"], ["--kernels", "nonesuch"],
        ["--log-level", "loud"],
        ["--format", "xml"], ["--memory", "1XB"], ["--temperature", "warm"], ["--temperature", "nan"],
        ["--temperature=-1"],
        ["--top-p", "2"], ["--n", "0"], ["--max-tokens=-3"], ["--max-num-batched-tokens", "0"],
        ["--max-model-len", "many"],
        ["--logprobs", "100000"], ["--threads", "0"], ["--tensor-parallel-size", "0"], ["--kv-cache-dtype", "int3"],
        ["--symmetric", "--asymmetric"], ["--seed=-1"], ["--chat"], ["--prompt", "a"], ["--group-size", "0"],
    ])
    func wrongOptions(_ arguments: [String]) throws {
        let name = arguments[0].split(separator: "=")[0].dropFirst(2)
        try Refusal(64, naming: String(name)).expectGenerate(model, arguments)
    }

    @Test(arguments: [["--nonesuch"], ["--kernels", "nonesuch"]])
    func wrongOptionsToTwoRanks(_ arguments: [String]) throws {
        try Refusal(64, naming: String(arguments[0].dropFirst(2))).expectGenerate(model, arguments, ranks: 2)
    }

    /// An invalid value that begins with a dash is named; if it was taken for an option, the message says how.
    @Test func valuesThatBeginWithADash() throws {
        func refuse(_ words: String..., arguments: [String], status: Int32 = 64) throws {
            let outcome = try ProgramRun.run("generate", ["--model", model] + arguments, isShort: true)
            #expect(outcome.status == status && outcome.errorLines.count == 1, "\(arguments): \(outcome.errors)")
            for word in words { #expect(outcome.errors.contains(word), "\(arguments): \(outcome.errors)") }
        }
        let prompt = ["--prompt-token-ids", "5"]
        try refuse("--seed", "'-2'", arguments: prompt + ["--seed", "-2"])
        try refuse("top-k is -2", arguments: prompt + ["--top-k", "-2"])
        try refuse("--max-tokens", "not -3", arguments: prompt + ["--max-tokens", "-3"])
        try refuse("token id -1", arguments: ["--prompt-token-ids", "-1,5"], status: 65)
        try refuse("--stop must not be empty", arguments: prompt + ["--stop", ""])
        try refuse("--stop needs a tokenizer", arguments: prompt + ["--stop", "-"], status: 66)
        try refuse("-tp=-1", arguments: prompt + ["-tp", "-1"])
        try refuse("--memory=-1", arguments: prompt + ["--memory", "-1"])
        try refuse("--topology=-a.json", arguments: prompt + ["--topology", "-a.json"])
        try refuse("--prompt", arguments: ["--prompt"])
        try refuse(
            "'5'", "--max-tokens was taken for the value of --prompt", arguments: ["--prompt", "--max-tokens", "5"])
    }

    /// A full disk gives one line and status 65, rather than a trap or a success.
    @Test func outputThatCannotBeWritten() throws {
        let prompt = [
            "--model", embeddedModel, "--prompt", "Once", "--max-tokens", "4", "--seed", "1", "--log-level", "error",
        ]
        for (program, arguments) in [
            ("generate", prompt), ("generate", prompt + ["--format", "json"]), ("generate", ["--help"]),
            ("tokenize", ["--model", embeddedModel, "--text", "a"]),
        ] {
            let outcome = try ProgramRun.run(program, arguments, writesTo: "/dev/full")
            #expect(outcome.status == 65, "\(program) \(arguments): \(outcome.errors)")
            #expect(outcome.errorLines.count == 1 && outcome.errors.contains("standard output"), "\(outcome.errors)")
        }
    }

    @Test func noPromptAtAll() throws {
        try Refusal(64, naming: "--prompt-token-ids").expect("generate", ["--model", model])
        try Refusal(64, naming: "--model").expect("generate", ["--prompt", "a"])
        try Refusal(64, naming: "--interactive").expect(
            "generate", ["--model", model, "--interactive", "--format", "json"])
    }

    @Test func evaluate() throws {
        let short = try folder.write("a few words", to: "short.txt")
        let bad = try folder.write(Data([0x61, 0xFF, 0xFE]), to: "bad.txt")
        func refuse(_ refusal: Refusal, _ arguments: [String]) throws {
            try refusal.expect(
                "evaluate", ["perplexity", "--model", embeddedModel, "--log-level", "error"] + arguments)
        }
        try Refusal(64, naming: "perplexity").expect("evaluate", [])
        try Refusal(64, naming: "nonesuch").expect("evaluate", ["nonesuch"])
        try Refusal(64, naming: "compare").expect("bench", [])
        let most = "\(Int.max)"
        for option in ["--prompt-length", "--new-tokens", "--batch", "--rounds"] {
            try Refusal(64, naming: option).expect("bench", ["run", "--model", embeddedModel, option, most])
        }
        for option in ["--threads", "--rounds"] {
            try Refusal(64, naming: option).expect("bench", ["limits", option, most])
        }
        try Refusal(65, naming: "memory").expect("bench", ["limits", "--rounds", "1", "--size", "1e17"])
        try Refusal(66, naming: "/nonesuch").expect("bench", ["compare", "/nonesuch", "/dev/null"])
        try refuse(Refusal(64, naming: "--text"), [])
        try refuse(Refusal(66, naming: "/nonesuch.txt"), ["--text", "/nonesuch.txt"])
        try refuse(Refusal(65, naming: short, "--window"), ["--text", short])
        try refuse(Refusal(65, naming: bad, "UTF-8"), ["--text", bad])
        try refuse(Refusal(64, naming: "--window"), ["--text", short, "--window", "1"])
        try refuse(Refusal(64, naming: "--limit"), ["--text", short, "--limit", "0"])
        try refuse(Refusal(65, naming: "4000", "2048"), ["--text", short, "--window", "4000"])
        try refuse(Refusal(64, naming: "--format"), ["--text", short, "--format", "xml"])
    }

    @Test func tokenize() throws {
        let bad = try folder.write(Data([0x61, 0xFF, 0xFE]), to: "bad.txt")
        let lines = try folder.write("\"a\"\n5\n", to: "bad.jsonl")
        func refuse(_ refusal: Refusal, _ arguments: [String]) throws {
            try refusal.expect("tokenize", ["--model", embeddedModel] + arguments)
        }
        try Refusal(64, naming: "--model").expect("tokenize", ["--text", "a"])
        try Refusal(66, naming: "/nonesuch").expect("tokenize", ["--model", "/nonesuch", "--text", "a"])
        try refuse(Refusal(64, naming: "--text"), [])
        try refuse(Refusal(64, naming: "--nonesuch"), ["--text", "a", "--nonesuch"])
        try refuse(Refusal(64, naming: "--stream"), ["--text", "a", "--stream"])
        try refuse(Refusal(64, naming: "--decode"), ["--decode", "5,x"])
        try refuse(Refusal(66, naming: "/nonesuch.txt"), ["--file", "/nonesuch.txt"])
        try refuse(Refusal(65, naming: bad, "UTF-8"), ["--file", bad])
        try refuse(Refusal(65, naming: lines, "line 1"), ["--decode-jsonl", lines])
    }
}

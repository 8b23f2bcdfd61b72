import Foundation
import TestSupport
import Testing

/// Tests `sizing`: plans, tables, and how they compare with runs.
@Suite(.serialized) struct SizingTests {
    private struct Answer: Decodable {
        struct Card: Decodable {
            let usable_bytes: Int
            let weights: Int
            let kv_cache: Int
            let activations: Int
            let overhead: Int
            let free: Int
        }
        struct Alternative: Decodable {
            let quantization: String?
            let min_cards: Int?
            let max_model_len: Int?
        }
        let min_cards: Int?
        let max_model_len: Int?
        let max_model_len_by_memory: Int?
        let model_limit: Int
        let tensor_parallel_size: Int?
        let pipeline_parallel_size: Int?
        let per_card: Card?
        let ranks: [Card]
        let kv_bytes_per_token: Int
        let max_batch: Int?
        let binding_limit: String
        let why_not_fewer: String?
        let decode_tokens_per_s_bound: Double?
        let communication_ms_per_token: Double?
        let alternatives: [Alternative]
        let warnings: [String]
    }

    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func plan(_ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws -> Answer {
        let outcome = try ProgramRun.run("sizing", ["plan", "--format", "json"] + arguments, isShort: true)
        #expect(outcome.status == 0 && outcome.errors == "", "\(outcome.errors)", sourceLocation: sourceLocation)
        return try outcome.json()
    }

    /// The configuration of a small Llama without weights.
    private func smallModel() throws -> String {
        try folder.write(
            """
            {"model_type": "llama", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8,
             "num_key_value_heads": 8, "intermediate_size": 512, "vocab_size": 1000, "max_position_embeddings": 2048}
            """, to: "config.json")
    }

    @Test func aPlanAddsUp() throws {
        let answer = try plan(["--model", "llama2-70b", "--memory", "32GB", "--profile", "ascend-vllm"])
        #expect(answer.min_cards == 8 && answer.max_model_len_by_memory == 32768)
        #expect(answer.max_model_len == 4096 && answer.model_limit == 4096 && answer.binding_limit == "model")
        #expect(answer.tensor_parallel_size == 8 && answer.pipeline_parallel_size == 1)
        #expect(answer.kv_bytes_per_token == 327_680)
        #expect(answer.why_not_fewer?.hasPrefix("4 cards: short by ") == true)
        let card = try #require(answer.per_card)
        #expect(card.usable_bytes == Int(0.9 * 32 * 0x1p30))
        #expect(
            abs(card.weights + card.kv_cache + card.activations + card.overhead + card.free - card.usable_bytes) <= 4)
        #expect(answer.ranks.count == 8 && answer.max_batch ?? 0 > 1)
        let small = try #require(answer.alternatives.first { $0.quantization == "int4" })
        #expect(small.min_cards == 2 && small.max_model_len ?? 0 > 32768)
        // In this runtime's profile, unlike that of a vendor's cards, 32 GB are 32 · 10⁹ bytes.
        let exact = try plan(["--model", "llama2-7b", "--memory", "32GB"])
        #expect(exact.per_card?.usable_bytes == 32_000_000_000)
    }

    @Test func ofManyPlansTheAskedForIsAnswered() throws {
        let model = ["--model", "llama2-13b", "--memory", "16GiB"]
        let mixed = try plan(model + ["-tp", "2", "-pp", "2"])
        #expect(mixed.tensor_parallel_size == 2 && mixed.pipeline_parallel_size == 2 && mixed.ranks.count == 4)
        let four = try plan(model + ["--cards", "4"])
        #expect(four.ranks.count == 4 && four.min_cards == 2)
        let none = try plan(["--model", "llama2-70b", "--memory", "16GB", "--profile", "ascend-vllm"])
        #expect(
            none.min_cards == nil && none.max_model_len == nil && none.ranks.isEmpty && none.binding_limit == "memory")
        let heads = try plan(["--model", "qwen2-57b-a14b", "--memory", "32GB", "--profile", "ascend-vllm"])
        #expect(heads.binding_limit == "heads" && heads.why_not_fewer == "8 cards: 8 does not divide 28 heads")
        let flips = try plan(["--model", "falcon-11b", "--memory", "32GB", "--profile", "ascend-vllm"])
        // The guide gives it 8K, with 0.1 GiB to spare.
        #expect(flips.warnings.contains { $0.contains("flips") && $0.contains("overhead_bytes") })
        let calm = try plan(["--model", "llama2-70b", "--memory", "64GB", "--profile", "ascend-vllm", "--cards", "8"])
        #expect(calm.warnings.isEmpty, "\(calm.warnings)")
        // A plan follows the layers and weights of a topology.
        let uneven = try folder.write(#"{"pipeline_parallel_size": 2, "layers": [30, 2]}"#, to: "layers.json")
        let stages = try plan(["--model", "llama2-7b", "--memory", "32GB", "--topology", uneven]).ranks
        #expect(
            stages.count == 2 && stages[0].weights > 8 * stages[1].weights
                && stages[0].kv_cache == 15 * stages[1].kv_cache)
        let weighted = try folder.write(#"{"tensor_parallel_size": 2, "weights": [3, 1]}"#, to: "weights.json")
        let shards = try plan(["--model", "llama2-7b", "--memory", "32GB", "--topology", weighted]).ranks
        #expect(shards[0].kv_cache == 3 * shards[1].kv_cache)
        let wrong = try folder.write(#"{"tensor_parallel_size": 2, "weights": [3]}"#, to: "wrong.json")
        try Refusal(65, naming: "1 weights").expect(
            "sizing", ["plan", "--model", "llama2-7b", "--memory", "32GB", "--topology", wrong])
        let huge = try folder.write(
            #"{"tensor_parallel_size": 9000000000000000000, "pipeline_parallel_size": 9}"#, to: "huge.json")
        try Refusal(65, naming: "parallel sizes must be").expect(
            "sizing", ["plan", "--model", "llama2-7b", "--memory", "32GB", "--topology", huge])
    }

    /// Checkpoints are planned too; the embedded one is quantized, so alternatives assume unquantized weights.
    @Test func checkpointsArePlanned() throws {
        let stored = try plan(["--model", "Models/tale-23m", "--memory", "1GiB"])
        #expect(stored.min_cards == 1 && stored.max_model_len == stored.model_limit)
        let none = try #require(stored.alternatives.first { $0.quantization == "none" })
        #expect(none.max_model_len ?? .max < stored.max_model_len_by_memory ?? 0)
        let floats = try plan(["--model", "Models/tale-23m", "--memory", "1GiB", "--quantization", "none"])
        #expect(floats.per_card?.weights ?? 0 > stored.per_card?.weights ?? .max)
        try Refusal(65, naming: "quantized already").expect(
            "sizing", ["plan", "--model", "Models/tale-23m", "--memory", "1GiB", "--quantization", "int4"])
        // Groups that do not suit a shape must not prevent the answer to the question.
        let odd = try plan(["--model", "llama2-7b", "--memory", "32GB", "--group-size", "7"])
        #expect(odd.alternatives.contains { $0.max_model_len == nil } && odd.min_cards == 1)
    }

    /// Help and text name formats and schemes clearly.
    @Test func helpAndTextSayWhatIsMeant() throws {
        for (subcommand, formats) in [("plan", "text, json, markdown"), ("verify", "text, json")] {
            let help = try ProgramRun.run("sizing", [subcommand, "--help"], isShort: true).output
            let words = help.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            #expect(words.contains("values: \(formats);") && !words.contains("tsv"), "\(help)")
        }
        let text = try ProgramRun.run("sizing", ["plan", "--model", "llama2-7b", "--memory", "32GiB"], isShort: true)
        #expect(text.output.contains("unquantized weights") && !text.output.contains("none weights"), "\(text.output)")
        let misspelt = try folder.write(#"{"tensor_paralel_size": 2}"#, to: "t.json")
        try Refusal(65, naming: "t.json", "\"tensor_paralel_size\"").expect(
            "sizing", ["plan", "--model", "llama2-7b", "--memory", "32GB", "--topology", misspelt])
    }

    /// All keys are present in the JSON, whatever the answer.
    @Test func whatThereIsNotIsNull() throws {
        let outcome = try ProgramRun.run(
            "sizing",
            ["plan", "--model", "llama2-70b", "--memory", "16GB", "--profile", "ascend-vllm", "--format", "json"],
            isShort: true)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        for key in [
            "min_cards", "max_model_len", "tensor_parallel_size", "pipeline_parallel_size", "per_card", "max_batch",
            "decode_tokens_per_s_bound",
        ] {
            #expect(object[key] is NSNull, "\(key)")
        }
    }

    @Test func profilesBindPlans() throws {
        let model = ["plan", "--model", "llama2-70b", "--memory", "32GB"]
        let ascend = model + ["--profile", "ascend-vllm"]
        try Refusal(65, naming: "no pipeline").expect("sizing", ascend + ["-tp", "8", "-pp", "2"])
        try Refusal(65, naming: "1, 2, 4, 8").expect("sizing", ascend + ["-tp", "16"])
        try Refusal(65, naming: "1024").expect("sizing", model + ["--cards", "4096"])
        let text = try ProgramRun.run("sizing", ascend + ["--cards", "1"], isShort: true).output
        #expect(text.contains("1 card: short by") && text.contains("the fewest is 8 cards"), "\(text)")
        // Without a limit on the tokens of a step, its size would be unlimited.
        var own = try #require(
            try JSONSerialization.jsonObject(
                with: Data(
                    try ProgramRun.run(
                        "sizing", ["fit", "--table", "Tests/Golden/ascend-min-cards.tsv"], isShort: true
                    )
                    .output.utf8)) as? [String: Any])
        own["accounting"] = "runtime"
        let path = try folder.write(
            String(decoding: try JSONSerialization.data(withJSONObject: own), as: UTF8.self), to: "profile.json")
        try Refusal(65, naming: "step_tokens").expect("sizing", model + ["--profile", path])
    }

    @Test func aBenchGivesTheTimeOfCommunication() throws {
        let bench = try folder.write(#"{"fit": {"alpha_us": 5, "beta_ns_per_byte": 0.1}}"#, to: "bench.json")
        let model = ["--model", "llama2-7b", "--memory", "64GiB", "-tp", "2", "--memory-bandwidth", "40"]
        let without = try plan(model)
        let with = try plan(model + ["--interconnect", bench])
        #expect(without.communication_ms_per_token == nil)
        // There are 64 all-reduces of 16 KiB.
        #expect(abs((with.communication_ms_per_token ?? 0) - 64 * (5 + 1.6384) / 1e3) < 1e-9)
        #expect(with.decode_tokens_per_s_bound ?? 0 < without.decode_tokens_per_s_bound ?? 0)
        for (text, word) in [
            ("{}", "alpha"), ("[", "alpha"), (#"{"fit": {"alpha_us": -5, "beta_ns_per_byte": 0.1}}"#, "alpha"),
        ] {
            let path = try folder.write(text, to: "bad.json")
            try Refusal(65, naming: "bad.json", word).expect("sizing", ["plan"] + model + ["--interconnect", path])
        }
        try Refusal(66, naming: "nonesuch").expect("sizing", ["plan"] + model + ["--interconnect", "/nonesuch"])
    }

    @Test func badQuestionsAreRefused() throws {
        let model = ["plan", "--model", "llama2-7b", "--memory", "32GB"]
        try Refusal(66, naming: "nonesuch").expect("sizing", ["plan", "--model", "/nonesuch", "--memory", "32GB"])
        try Refusal(66, naming: "llama2-8b", "catalogue").expect(
            "sizing", ["plan", "--model", "llama2-8b", "--memory", "32GB"])
        try Refusal(66, naming: "nonesuch", "trireme").expect("sizing", model + ["--profile", "nonesuch"])
        try Refusal(65, naming: "1, 2, 4, 8").expect("sizing", model + ["--profile", "ascend-vllm", "--cards", "3"])
        try Refusal(65, naming: "3", "32 heads").expect("sizing", model + ["--profile", "vllm-cuda", "-tp", "3"])
        for bad in [
            ["--topology", "a.json", "-tp", "2"], ["--utilization", "0"], ["--batch", "0"], ["--cards", "0"],
            ["--cards", "some"], ["--max-model-len", "0"],
            ["--quantization", "int3"], ["--kv-cache-dtype", "int4"], ["--memory-bandwidth", "-1"],
            ["--format", "tsv"],
            ["-tp", "0"], ["--cards", "3", "-tp", "2"], ["--memory", "much"],
        ] {
            let status = try ProgramRun.run("sizing", model + bad, isShort: true)
            #expect(status.status == 64 && status.errorLines.count == 1, "\(bad): \(status.status) \(status.errors)")
        }
        for text in ["{", "[]", #"{"model_type": "llama"}"#, #"{"model_type": "nonesuch"}"#] {
            let path = try folder.write(text, to: "bad.json")
            try Refusal(65, naming: "bad.json").expect("sizing", ["plan", "--model", path, "--memory", "32GB"])
        }
    }

    @Test func theTableHasTheGuidesColumns() throws {
        let table = try ProgramRun.run("sizing", ["table", "--memory", "32GB", "--memory", "64GB"], isShort: true)
            .output
        let lines = table.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
        #expect(lines[0] == ["index", "model", "cards_32", "max_len_k_32", "cards_64", "max_len_k_64"])
        #expect(lines[1] == ["1", "llama-7b", "1", "16", "1", "32"])
        #expect(lines.allSatisfy { $0.count == 6 } && lines.count > 52)
        let markdown = try ProgramRun.run(
            "sizing", ["table", "--memory", "32GB", "--reasons", "--format", "markdown"], isShort: true
        ).output
        #expect(markdown.contains("8 cards: 8 does not divide 28 heads"))
        let models = try ProgramRun.run("sizing", ["models"], isShort: true).output
        #expect(models.contains("llama2-7b\t6738415616\t"))
        let text = try ProgramRun.run("sizing", ["plan", "--model", "llama2-7b", "--memory", "8GiB"], isShort: true)
            .output
        for word in ["the fewest", "why not fewer", "binds", "tokens/s", "int4 weights"] {
            #expect(text.contains(word), "\(word): \(text)")
        }
    }

    /// A context that fits according to a plan does run, and twice its length is refused before loading.
    @Test func whatFitsRunsAndTwiceDoesNot() throws {
        let config = try smallModel()
        let memory = ["--memory", "160MiB"]
        for (ranks, options) in [(1, ["--quantization", "int8"]), (2, ["--kv-cache-dtype", "int8"])] {
            let answer = try plan(["--model", config, "--cards", "\(ranks)"] + options + memory)
            let length = try #require(answer.max_model_len_by_memory)
            func generate(_ length: Int) throws -> ProgramOutcome {
                try ProgramRun.run(
                    "generate",
                    [
                        "--model", "synthetic:\(config)", "--prompt-token-ids", "1,2,3", "--max-tokens", "2",
                        "--ignore-eos",
                        "--temperature", "0", "--log-level", "error", "--max-model-len", "\(length)", "--format",
                        "json",
                    ] + options + memory, ranks: ranks)
            }
            let run = try generate(length)
            #expect(run.status == 0, "\(length): \(run.errors)")
            let refused = try generate(2 * length)
            #expect(refused.status == 65 && refused.output == "" && refused.errorLines.count == 1, "\(refused.errors)")
            for word in [
                "KV cache is needed", "available KV cache memory", "estimated maximum model length is \(length)",
            ] {
                #expect(refused.errors.contains(word), "\(word): \(refused.errors)")
            }
        }
    }

    @Test func plansAreVerified() throws {
        let config = try smallModel()
        let options = ["--max-model-len", "1024", "-tp", "2"]
        let planned = try ProgramRun.run(
            "sizing", ["plan", "--model", config, "--memory", "1GiB", "--format", "json"] + options, isShort: true)
        let plan = try folder.write(planned.output, to: "plan.json")
        let run = try ProgramRun.run(
            "generate",
            [
                "--model", "synthetic:\(config)", "--prompt-token-ids", "1,2,3", "--max-tokens", "2", "--ignore-eos",
                "--log-level", "error", "--format", "json",
            ] + options, ranks: 2)
        let measured = try folder.write(run.output, to: "run.json")
        struct Row: Decodable {
            let weights_predicted_measured: [Int]
            let kv_cache_predicted_measured: [Int]
            let activations_predicted_measured: [Int]
            let measured_bytes: Int
        }
        // A debug build's process may be larger than a release build's, so the status is tested with the sizes below.
        let verified = try ProgramRun.run(
            "sizing", ["verify", "--plan", plan, "--measured", measured, "--format", "json"], isShort: true)
        struct Report: Decodable {
            let ranks: [Row]
        }
        let rows = try verified.json(Report.self).ranks
        #expect(rows.count == 2)
        for row in rows {
            for pair in [
                row.weights_predicted_measured, row.kv_cache_predicted_measured, row.activations_predicted_measured,
            ] {
                #expect(pair[0] == pair[1])
            }
        }
        for (peak, isRight) in [
            (1_000_000_000, true), (1_015_000_000, true), (1_021_000_000, false), (900_000_000, false),
        ] {
            let plan = try folder.write(
                #"{"ranks": [{"rank": 0, "weights": 900000000, "kv_cache": 50000000, "activations": 25000000, "overhead": 25000000}]}"#,
                to: "plan.json")
            let measured = try folder.write(
                """
                {"memory": [{"rank": 0, "weight_bytes": 1, "kv_cache_bytes": 1, "activation_bytes": 1,
                 "peak_rss_bytes": \(peak)}]}
                """, to: "run.json")
            let outcome = try ProgramRun.run(
                "sizing", ["verify", "--plan", plan, "--measured", measured], isShort: true)
            #expect(
                outcome.status == (isRight ? 0 : 65) && outcome.output.contains(isRight ? "right" : "WRONG"), "\(peak)")
        }
        try Refusal(65, naming: "run.json", "sizing plan").expect(
            "sizing", ["verify", "--plan", measured, "--measured", measured])
        try Refusal(66, naming: "nonesuch").expect("sizing", ["verify", "--plan", "/nonesuch", "--measured", measured])
    }

    @Test func fittingPrintsAProfile() throws {
        let table = "\(ProgramRun.repositoryPath)/Tests/Golden/ascend-min-cards.tsv"
        let outcome = try ProgramRun.run("sizing", ["fit", "--table", table], isShort: true)
        #expect(outcome.status == 0 && outcome.errors.contains("46 of 50"), "\(outcome.errors)")
        let profile = try folder.write(outcome.output, to: "fitted.json")
        let answer = try plan(["--model", "llama-7b", "--memory", "32GB", "--profile", profile])
        #expect(answer.min_cards == 1 && answer.max_model_len_by_memory == 16384)
        try Refusal(66, naming: "nonesuch").expect("sizing", ["fit", "--table", "/nonesuch"])
        try Refusal(65, naming: "nothing to fit").expect("sizing", ["fit", "--table", table, "--profile", "trireme"])
        let unknown = try folder.write("model\tcards_32\tmax_len_k_32\nnonesuch\t1\t4\n", to: "table.tsv")
        try Refusal(65, naming: "nonesuch").expect("sizing", ["fit", "--table", unknown])
    }

    /// Absurd shapes get an answer or one clear line.
    @Test func randomShapesAreAnswered() throws {
        var random = SeededGenerator(seed: testSeed)
        let types = [
            "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "falcon", "mixtral", "qwen2_moe",
            "llama4_text",
            "gpt_oss", "glm4_moe", "deepseek_v3", "chatglm", "baichuan", "nonesuch",
        ]
        func number(_ exponents: ClosedRange<Double>) -> String {
            switch Int.random(in: 0..<100, using: &random) {
            case 0: "-1"
            case 1: "9223372036854775807"
            case 2: "1e300"
            case 3: "\"many\""
            case 4: "0"
            default: "\(Int(exp2(Double.random(in: exponents, using: &random))))"
            }
        }
        var answered = 0
        for index in 0..<200 {
            let heads =
                ["\([1, 3, 5, 7, 12, 40].randomElement(using: &random) ?? 1)", number(0...8)].randomElement(
                    using: &random) ?? "1"
            let keys = [
                "hidden_size": number(3...15), "num_hidden_layers": number(0...9), "num_attention_heads": heads,
                "num_key_value_heads": ["1", heads].randomElement(using: &random) ?? "1", "head_dim": "64",
                "intermediate_size": number(3...17), "vocab_size": number(5...23),
                "max_position_embeddings": number(5...22),
                "num_local_experts": number(0...9), "num_experts": number(0...9), "n_routed_experts": number(0...9),
                "moe_intermediate_size": number(3...13), "kv_lora_rank": number(3...10), "qk_rope_head_dim": "64",
                "qk_nope_head_dim": number(3...8), "v_head_dim": number(3...8), "num_layers": number(0...8),
                "kv_channels": "64", "padded_vocab_size": number(5...18), "seq_length": number(5...20),
                "ffn_hidden_size": number(3...16),
            ].filter { _ in Int.random(in: 0..<60, using: &random) > 0 }
            let type = types.randomElement(using: &random) ?? "llama"
            let text =
                keys.sorted { $0.key < $1.key }.reduce("{\"model_type\": \"\(type)\"") {
                    $0 + ", \"\($1.key)\": \($1.value)"
                } + "}"
            let path = try folder.write(text, to: "random\(index).json")
            let profile = ["trireme", "ascend-vllm", "vllm-cuda"].randomElement(using: &random) ?? "trireme"
            let memory = ["1MiB", "16GiB", "80GB", "1TiB"].randomElement(using: &random) ?? "16GiB"
            let outcome = try ProgramRun.run(
                "sizing", ["plan", "--model", path, "--memory", memory, "--profile", profile, "--format", "json"],
                isShort: true)
            #expect([0, 65].contains(outcome.status), "\(outcome.status): \(text) \(outcome.errors)")
            if outcome.status == 0 {
                answered += 1
                #expect(!outcome.output.contains(":-"), "a negative number: \(text)")
            } else {
                #expect(outcome.errorLines.count == 1 && outcome.output == "", "\(text): \(outcome.errors)")
            }
        }
        #expect(answered >= 50)
    }
}

import Foundation
import TestSupport
import Testing

/// Tests the options of `generate`.
@Suite(.serialized) struct OptionTests {
    private static let greedy = ["--temperature", "0", "--ignore-eos"]

    private func run(_ arguments: [String], ranks: Int? = nil, input: String? = nil) throws -> ProgramOutcome {
        let outcome = try ProgramRun.run("generate", arguments + ["--log-level", "error"], ranks: ranks, input: input)
        try #require(outcome.status == 0, "\(arguments): \(outcome.errors)")
        return outcome
    }

    private func generate(_ arguments: [String], model: String = embeddedModel, ranks: Int? = nil) throws
        -> GenerateOutput
    {
        let outcome = try run(["--model", model, "--format", "json"] + arguments, ranks: ranks)
        #expect(outcome.output.hasPrefix("{") && outcome.output.hasSuffix("}\n"), "one JSON object and nothing else")
        #expect(outcome.output.filter { $0 == "\n" }.count == 1)
        return try outcome.json()
    }

    private func tokens(_ text: String, special: String = "off") throws -> [Int32] {
        struct Tokens: Decodable { let ids: [Int32] }
        let outcome = try ProgramRun.run(
            "tokenize", ["--model", embeddedModel, "--text", text, "--special", special, "--format", "json"])
        return try outcome.json(Tokens.self).ids
    }

    private func list(_ ids: [Int32]) -> String { ids.map(String.init).joined(separator: ",") }

    @Test func severalOutputs() throws {
        let found = try generate(["--prompt", "Once", "--n", "3", "--seed", "7", "--max-tokens", "12", "--ignore-eos"])
        #expect(found.outputs.count == 3 && Set(found.outputs.map(\.tokenIDs)).count == 3)
        #expect(found.usage.promptTokens == found.promptTokenIDs.count && found.usage.completionTokens == 36)
        let one = try generate(["--prompt", "Once", "--seed", "7", "--max-tokens", "12", "--ignore-eos"])
        #expect(one.outputs[0].tokenIDs == found.outputs[0].tokenIDs, "the first of several is the only one of one")
    }

    @Test func stopStrings() throws {
        let prompt = ["--model", embeddedModel, "--prompt", "Once upon a time", "--max-tokens", "32"] + Self.greedy
        let whole: GenerateOutput = try run(prompt + ["--format", "json"]).json()
        let text = whole.outputs[0].text
        struct Stream: Decodable { let chunks: [String] }
        let pieces = try ProgramRun.run(
            "tokenize",
            ["--model", embeddedModel, "--decode", list(whole.outputs[0].tokenIDs), "--stream", "--format", "json"],
            isShort: true
        ).json(Stream.self).chunks
        try #require(pieces.joined() == text)
        // The stop string has two characters of one token and two of the next.
        let place = try #require((3..<20).first { pieces[$0].count > 2 && pieces[$0 + 1].count > 2 })
        let stop = pieces[place].suffix(2) + pieces[place + 1].prefix(2)
        let shown = String(text[..<(try #require(text.range(of: stop))).lowerBound])
        for stops in [["--stop", String(stop)], ["--stop", "nonesuch", "--stop", String(stop)]] {
            let found: GenerateOutput = try run(prompt + stops + ["--format", "json"]).json()
            #expect(
                found.outputs[0].text == shown && found.outputs[0].finishReason == "stop", "\(found.outputs[0].text)")
            #expect(found.outputs[0].tokenIDs.count < 32)
            #expect(try run(prompt + stops).output == "Once upon a time" + shown + "\n")
        }
        let other: GenerateOutput = try run(prompt + ["--stop", "nonesuch", "--format", "json"]).json()
        #expect(other.outputs[0] == whole.outputs[0] && whole.outputs[0].finishReason == "length")
    }

    /// Negative numbers, list items and lines of dashes are accepted as values.
    @Test func valuesThatBeginWithADash() throws {
        let arguments = ["--model", embeddedModel, "--max-tokens", "6"] + Self.greedy
        for text in ["- one item", "-5 degrees", "--", "---", "-n", "--ignore-eos", "--- a ---"] {
            let apart = try run(arguments + ["--prompt", text])
            #expect(apart.output.hasPrefix(text), "\(text): \(apart.output)")
            #expect(try run(arguments + ["--prompt=\(text)"]).output == apart.output)
            let ids = try ProgramRun.run("tokenize", ["--model", embeddedModel, "--text", text], isShort: true)
            #expect(ids.status == 0 && ids.output.hasSuffix(", \(text.utf8.count) bytes\n"), "\(text): \(ids.errors)")
        }
        let plain = try run(arguments + ["--prompt", "Once"]).output
        #expect(
            try run(arguments + ["--prompt", "Once", "--top-k", "-1", "--stop", "---", "--stop", "-x"]).output == plain)
        for penalty in ["--frequency-penalty", "--presence-penalty"] {
            let apart = try run(arguments + ["--prompt", "Once", penalty, "-1.5"]).output
            #expect(try run(arguments + ["--prompt", "Once", "\(penalty)=-1.5"]).output == apart)
        }
    }

    @Test func seeds() throws {
        let arguments = [
            "--model", embeddedModel, "--prompt", "Once", "--max-tokens", "16", "--ignore-eos", "--format", "json",
        ]
        func tokens(_ more: [String]) throws -> [Int32] {
            try run(arguments + more).json(GenerateOutput.self).outputs[0].tokenIDs
        }
        let first = try tokens(["--seed", "11"])
        #expect(try tokens(["--seed", "11"]) == first)
        #expect(try tokens(["--seed", "12"]) != first)
        #expect(try run(arguments + ["--seed", "11"], ranks: 2).json(GenerateOutput.self).outputs[0].tokenIDs == first)
        // Without the option the seed is printed, and using it repeats the run.
        let outcome = try run(arguments)
        let line = try #require(outcome.errorLines.first { $0.hasPrefix("seed ") })
        #expect(
            try tokens(["--seed", String(line.dropFirst(5))]) == outcome.json(GenerateOutput.self).outputs[0].tokenIDs)
        #expect(try run(arguments + ["--temperature", "0"]).errorLines == [], "greedy needs no seed")
    }

    @Test func logProbabilities() throws {
        let found = try generate(
            ["--prompt", "Once upon", "--max-tokens", "6", "--logprobs", "4", "--prompt-logprobs"] + Self.greedy)
        let prompt = try #require(found.promptLogProbabilities)
        #expect(prompt.count == found.promptTokenIDs.count && prompt[0] == nil)
        #expect(prompt.dropFirst().allSatisfy { $0.map { $0 < 0 } ?? false })
        let tokens = try #require(found.outputs[0].logProbabilities)
        #expect(tokens.map(\.id) == found.outputs[0].tokenIDs)
        for token in tokens {
            #expect(
                token.top.count == 4 && token.top[0].id == token.id
                    && token.top[0].logProbability == token.logProbability)
            #expect(token.top.map(\.logProbability) == token.top.map(\.logProbability).sorted(by: >))
        }
        let plain = try generate(["--prompt", "Once upon", "--max-tokens", "6"] + Self.greedy)
        #expect(
            plain.promptLogProbabilities == nil && plain.outputs[0].logProbabilities == nil
                && plain.outputs[0].digests == nil)
        // Scoring the prompt and the output together gives the output the log-probabilities of its generation.
        let ids = list(found.promptTokenIDs + found.outputs[0].tokenIDs)
        let scored = try generate(["--prompt-token-ids", ids, "--max-tokens", "0", "--prompt-logprobs"])
        #expect(scored.outputs[0].tokenIDs == [])
        #expect(scored.promptLogProbabilities?.suffix(6).map { $0 ?? 0 } == tokens.map(\.logProbability))
    }

    @Test(arguments: [nil, 2]) func aPromptFromStandardInput(ranks: Int?) throws {
        let arguments = ["--model", embeddedModel, "--max-tokens", "8"] + Self.greedy
        let text = "Once upon a time\nthere was"
        let folder = try TemporaryFolder()
        let expected = try run(arguments + ["--prompt", text]).output
        #expect(try run(arguments + ["--prompt-file", "-"], ranks: ranks, input: text).output == expected)
        #expect(
            try run(arguments + ["--prompt-file", folder.write(text, to: "prompt.txt")], ranks: ranks).output
                == expected)
    }

    /// Each turn of a conversation continues all turns before it, as if everything so far were one prompt.
    @Test(arguments: [nil, 2]) func aConversation(ranks: Int?) throws {
        let lines = ["Once upon a time", "Then the king said"]
        let arguments = ["--model", embeddedModel, "--max-tokens", "10"] + Self.greedy
        let outcome = try run(arguments + ["--interactive"], ranks: ranks, input: lines.joined(separator: "\n") + "\n")
        #expect(outcome.errorLines.count == 1 && outcome.errors.contains("tokens/s"), "\(outcome.errors)")
        let first = try generate(["--prompt", lines[0], "--max-tokens", "10"] + Self.greedy)
        let soFar = first.promptTokenIDs + first.outputs[0].tokenIDs + (try tokens(lines[1]))
        let second = try generate(["--prompt-token-ids", list(soFar), "--max-tokens", "10"] + Self.greedy)
        #expect(outcome.output == first.outputs[0].text + "\n" + second.outputs[0].text + "\n")
    }

    @Test func aConversationEndsWhereTheModelDoes() throws {
        let outcome = try run(
            ["--model", embeddedModel, "--max-tokens", "10", "--max-model-len", "20", "--interactive"] + Self.greedy,
            input: "Once upon a time\nThen the king said\nAnd the queen said\n")
        #expect(outcome.errors.contains("20 tokens"), "\(outcome.errors)")
    }

    @Test func aBatchInOrder() throws {
        let folder = try TemporaryFolder()
        // The first prompt takes longest, so the second must wait for its line.
        let path = try folder.write(
            #""A long story about a king and a queen who lived in a house by the sea, told by""# + "\n\n"
                + #"{"prompt": "Once"}"# + "\n\"It\"\n", to: "prompts.jsonl")
        let outcome = try run(
            ["--model", embeddedModel, "--prompts", path, "--max-tokens", "5", "--max-num-seqs", "2"] + Self.greedy)
        let found = try outcome.output.split(separator: "\n").map {
            try JSONDecoder().decode(GenerateOutput.self, from: Data($0.utf8))
        }
        #expect(found.count == 3 && found.allSatisfy { $0.outputs[0].tokenIDs.count == 5 })
        #expect(found[1].promptTokenIDs == (try tokens("Once", special: "on")))
        #expect(found[2].promptTokenIDs == (try tokens("It", special: "on")))
        let standard = try run(
            ["--model", embeddedModel, "--prompts", "-", "--max-tokens", "5", "--max-num-seqs", "2"] + Self.greedy,
            input: String(contentsOfFile: path, encoding: .utf8))
        #expect(standard.output == outcome.output)
    }

    @Test func lengths() throws {
        let found = try generate(
            ["--prompt-token-ids", "0,5,9,7", "--max-tokens", "100", "--max-model-len", "16"] + Self.greedy)
        #expect(found.outputs[0].tokenIDs.count == 12 && found.outputs[0].finishReason == "length")
        let automatic = try generate(
            ["--prompt-token-ids", "0,5", "--max-tokens", "4", "--max-model-len", "auto"] + Self.greedy)
        #expect(automatic.outputs[0].tokenIDs.count == 4)
    }

    /// Sampling defaults and end tokens come from generation_config.json; options override them.
    @Test func generationConfiguration() throws {
        let checkpoint = try TestCheckpoint()
        let prompt = ["--prompt-token-ids", "74,222,76,74,140"]
        func generate(_ more: [String] = []) throws -> GenerateOutput.Sequence {
            try self.generate(prompt + more, model: checkpoint.path).outputs[0]
        }
        let best = try generate(["--max-tokens", "12"] + Self.greedy)
        try checkpoint.write(
            #"{"do_sample": false, "max_new_tokens": 7, "temperature": 0.9, "eos_token_id": 2}"#,
            to: "generation_config.json")
        #expect(try generate(["--ignore-eos"]).tokenIDs == Array(best.tokenIDs.prefix(7)))
        #expect(try generate(["--ignore-eos", "--max-tokens", "3"]).tokenIDs == Array(best.tokenIDs.prefix(3)))
        try checkpoint.write(#"{"do_sample": true, "temperature": 1.5, "top_k": 1}"#, to: "generation_config.json")
        #expect(try generate(["--ignore-eos", "--max-tokens", "12", "--seed", "3"]).tokenIDs == best.tokenIDs)
        try checkpoint.write(#"{"temperature": 5.0}"#, to: "generation_config.json")
        #expect(try generate(["--ignore-eos", "--max-tokens", "12", "--seed", "3"]).tokenIDs != best.tokenIDs)
        #expect(try generate(["--ignore-eos", "--max-tokens", "12", "--temperature", "0"]).tokenIDs == best.tokenIDs)

        // The third token ends the text if it is the second one in the list.
        let end = best.tokenIDs[2]
        let index = try #require(best.tokenIDs.firstIndex(of: end))
        let never = try #require((3..<256).first { !best.tokenIDs.contains($0) })
        try checkpoint.write(#"{"eos_token_id": [\#(never), \#(end)]}"#, to: "generation_config.json")
        let ended = try generate(["--max-tokens", "12", "--temperature", "0"])
        #expect(ended.finishReason == "stop" && ended.tokenIDs == Array(best.tokenIDs[...index]))
        #expect(try generate(["--max-tokens", "12", "--temperature", "0", "--ignore-eos"]).tokenIDs == best.tokenIDs)
        // Without the file, config.json names the end tokens.
        try checkpoint.remove("generation_config.json")
        try checkpoint.edit { $0["eos_token_id"] = [Int(end)] }
        #expect(try generate(["--max-tokens", "12", "--temperature", "0"]).tokenIDs == ended.tokenIDs)
    }

    /// The configuration keys of older transformers have the same meaning.
    @Test func olderConfigurationKeys() throws {
        for (name, scaling) in [
            ("llama-linear-rope", #"{"type": "linear", "factor": 4.0}"#),
            (
                "llama31-rope",
                #"{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}"#
            ),
        ] {
            let checkpoint = try TestCheckpoint(copying: name)
            let arguments =
                ["--prompt-token-ids", "74,222,76,74,140,9,13", "--max-tokens", "8", "--logits-digest"] + Self.greedy
            let newer = try generate(arguments, model: checkpoint.path)
            let parsed = try JSONSerialization.jsonObject(with: Data(scaling.utf8))
            try checkpoint.edit {
                let parameters = $0.removeValue(forKey: "rope_parameters") as? TestCheckpoint.Object
                $0["rope_theta"] = parameters?["rope_theta"]
                $0["rope_scaling"] = parsed
                $0["torch_dtype"] = $0.removeValue(forKey: "dtype")
            }
            let older = try generate(arguments, model: checkpoint.path)
            #expect(older.outputs == newer.outputs, "\(name)")
        }
    }

    /// A checkpoint may contain leftovers of old exporters, and may be divided into several files.
    @Test func shardsAndLeftovers() throws {
        let checkpoint = try TestCheckpoint()
        let arguments = ["--prompt-token-ids", "74,222,76", "--max-tokens", "6", "--logits-digest"] + Self.greedy
        let whole = try generate(arguments, model: checkpoint.path)
        let first = "model.layers.0.self_attn.rotary_emb.inv_freq"
        try checkpoint.write(checkpoint.data(), to: "model-00002-of-00002.safetensors")
        try checkpoint.remove("model.safetensors")
        let header = #"{"\#(first)": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}"#
        try checkpoint.write(
            TestCheckpoint.file(header: Data(header.utf8), data: Data(count: 16)),
            to: "model-00001-of-00002.safetensors")
        #expect(try generate(arguments, model: checkpoint.path).outputs == whole.outputs, "no index")
    }

    @Test func formatsOfWeightsAndCache() throws {
        // None of the eight tokens is close to a tie: the best logit leads by 0.3 or more in every format.
        let arguments = ["--prompt", "She went to the door and", "--max-tokens", "8"] + Self.greedy
        let shipped = try generate(arguments)
        for more in [
            ["--quantization", "none"], ["--quantization", "none", "--dtype", "float32"],
            ["--quantization", "none", "--dtype", "float16"],
            ["--kv-cache-dtype", "float32"], ["--kv-cache-dtype", "bfloat16"], ["--activation-dtype", "float32"],
        ] {
            let found = try generate(arguments + more)
            #expect(found.outputs[0].tokenIDs == shipped.outputs[0].tokenIDs, "\(more): \(found.outputs[0].text)")
        }
    }

    /// Synthetic weights do not depend on the plan and need no files.
    @Test func syntheticModels() throws {
        let model = "synthetic:\(goldenPath)/llama-gqa-tied/config.json"
        let arguments =
            [
                "--prompt-token-ids", "5,9,200", "--max-tokens", "5", "--logits-digest", "--quantization", "int8",
                "--group-size", "32",
            ] + Self.greedy
        let whole = try generate(arguments, model: model)
        #expect(try generate(arguments + ["-tp", "2", "-pp", "2"], model: model, ranks: 4).outputs == whole.outputs)
        let longer = try run(["--model", model, "--format", "json", "--max-model-len", "4000"] + arguments)
        #expect(try longer.json(GenerateOutput.self).outputs == whole.outputs)
    }

    @Test func plansAreReported() throws {
        let arguments = ["--prompt-token-ids", "5,9", "--max-tokens", "2"] + Self.greedy
        let uneven = try generate(
            arguments + ["--topology", "Topologies/tp2-uneven.json", "--threads", "1"],
            model: "\(goldenPath)/llama-mha", ranks: 2)
        let plan = try #require(uneven.plan)
        #expect(plan.tensorDegree == 2 && plan.pipelineDegree == 1 && plan.ranks == 2 && plan.threads == 1)
        let memory = try #require(uneven.memory)
        #expect(memory.count == 2 && memory[0].weightBytes > memory[1].weightBytes, "two to one")
        let traced = try run(["--model", "\(goldenPath)/llama-mha", "--trace-step", "1"] + arguments)
        #expect(traced.errors.contains("step 1") && traced.errors.contains("operation"), "\(traced.errors)")
    }
}

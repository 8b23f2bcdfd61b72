import Foundation
import TestSupport
import Testing

/// Variants of a checkpoint that other runtimes load give the same tokens as the plain one.
@Suite(.serialized) struct CheckpointVariantTests {
    private struct Answer: Decodable {
        struct Output: Decodable {
            let token_ids: [Int]
        }
        let outputs: [Output]
    }

    /// The tokens that `generate` draws; it must not print a warning.
    private func tokens(
        _ checkpoint: TestCheckpoint, _ more: [String] = [], sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> [Int] {
        let outcome = try ProgramRun.run(
            "generate",
            [
                "--model", checkpoint.path, "--prompt-token-ids", "5,9,11", "--max-tokens", "6", "--temperature", "0",
                "--ignore-eos", "--format", "json", "--log-level", "error",
            ] + more, isShort: true)
        #expect(outcome.status == 0, "\(outcome.errors)", sourceLocation: sourceLocation)
        return try outcome.json(Answer.self).outputs.first?.token_ids ?? []
    }

    /// The notes of `sizing` about a checkpoint, which are the warnings from opening it.
    private func notes(_ checkpoint: TestCheckpoint) throws -> [String] {
        struct Plan: Decodable {
            let notes: [String]
        }
        return try ProgramRun.run(
            "sizing", ["plan", "--model", checkpoint.path, "--memory", "1GiB", "--format", "json"], isShort: true
        ).json(Plan.self).notes
    }

    @Test func tensorsThatNobodyNeedsAreNamedAndLeft() throws {
        let checkpoint = try TestCheckpoint()
        let expected = try tokens(checkpoint)
        #expect(try notes(checkpoint) == [])
        let names = [
            "model.layers.0.self_attn.rotary_emb.cos_cached", "model.layers.1.self_attn.k_scale", "score.weight",
            "model.layers.3.mtp.weight", "vision.weight", "value\u{1B}.x",
        ]
        for name in names + ["model.layers.0.self_attn.rotary_emb.inv_freq"] { try checkpoint.addTensor(name) }
        #expect(try tokens(checkpoint) == expected)
        let notes = try notes(checkpoint)
        #expect(notes.count == 1)
        for word in [
            "6 tensors", "and 1 more", "\"score.weight\"", "rotary angles", "fewer layers", "language model's head",
        ] {
            #expect(notes.first?.contains(word) == true, "\(word): \(notes)")
        }
        #expect(notes.first?.contains("inv_freq") == false && notes.first?.contains("\u{1B}") == false)
    }

    /// A stored head is used even if config.json ties it, unless it is a copy of the embedding.
    @Test func aHeadOfItsOwnIsUsed() throws {
        let embedding = "model.embed_tokens.weight"
        let tied = try TestCheckpoint(copying: "llama-gqa-tied")
        let expected = try tokens(tied)
        let copy = try tied.bytes(of: embedding)
        try tied.addTensor("lm_head.weight", shape: [256, 64], type: "BF16", bytes: copy)
        #expect(try tokens(tied) == expected && notes(tied) == [])

        let other = try TestCheckpoint(copying: "llama-gqa-tied")
        let rowByteCount = copy.count / 256
        let reversed = (0..<256).reversed().reduce(into: Data()) { all, row in
            let start = copy.startIndex + row * rowByteCount
            all += copy[start..<start + rowByteCount]
        }
        try other.addTensor("lm_head.weight", shape: [256, 64], type: "BF16", bytes: reversed)
        let found = try tokens(other)
        #expect(found != expected)
        #expect(try notes(other).contains { $0.contains("tie_word_embeddings") && $0.contains("lm_head.weight") })
        try other.edit { $0["tie_word_embeddings"] = false }
        #expect(try tokens(other) == found && notes(other) == [])
    }

    /// Index files with the usual inaccuracies load.
    @Test func inexactIndicesLoad() throws {
        let checkpoint = try TestCheckpoint()
        let expected = try tokens(checkpoint)
        let index = "model.safetensors.index.json"
        try checkpoint.write(#"{"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}"#, to: index)
        #expect(try tokens(checkpoint) == expected)
        #expect(try notes(checkpoint).contains { $0.contains("is not used") })
        try checkpoint.write(
            #"{"weight_map": {"model.norm.weight": "model.safetensors", "other": "model.safetensors"}}"#, to: index)
        #expect(try tokens(checkpoint) == expected)
        #expect(try notes(checkpoint).contains { $0.contains("not exact") && $0.contains("\"other\"") })
        try FileManager.default.moveItem(
            atPath: "\(checkpoint.path)/model.safetensors", toPath: "\(checkpoint.path)/a.safetensors")
        try checkpoint.write(#"{"weight_map": {"model.norm.weight": "a.safetensors"}}"#, to: index)
        #expect(try tokens(checkpoint) == expected)
    }

    /// Configurations load that Python's reader accepts, or that older versions wrote with other or fewer keys.
    @Test func oddConfigurationsLoad() throws {
        let checkpoint = try TestCheckpoint()
        let expected = try tokens(checkpoint)
        try checkpoint.edit {
            $0["bos_token_id"] = -1
            $0["pad_token_id"] = -1
            $0["max_position_embeddings"] = nil
        }
        for name in ["config.json", "generation_config.json"] {
            let text = String(decoding: try checkpoint.data(name), as: UTF8.self)
            let odd = #""x1": NaN, "x2": -Infinity, "x3": 1e400, "x4": "\ud800", "x5": 1, "x5": {"a": [Infinity]}"#
            try checkpoint.write(
                text.trimmingCharacters(in: .whitespacesAndNewlines).dropLast() + ", \(odd)}", to: name)
        }
        #expect(try tokens(checkpoint) == expected)
        #expect(try tokens(checkpoint, ["--max-model-len", "2048"]) == expected)
        try Refusal(65, naming: "2048").expectGenerate(checkpoint.path, ["--max-model-len", "2049"])
    }

    /// Linear scaling divides positions by the factor, so the limit is longer by that factor.
    @Test func linearScalingLengthensTheLimit() throws {
        let checkpoint = try TestCheckpoint(copying: "llama-linear-rope")
        try checkpoint.edit { $0["max_position_embeddings"] = 64 }
        _ = try tokens(checkpoint, ["--max-model-len", "256"])
        try Refusal(65, naming: "256").expectGenerate(checkpoint.path, ["--max-model-len", "257"])
    }

    /// If weights are written to during a run, the run ends and names the file, because answers could change.
    @Test(arguments: [nil, 2]) func weightsThatChangeEndTheRun(ranks: Int?) throws {
        let folder = try TemporaryFolder()
        let model = "\(folder.path)/model"
        try FileManager.default.copyItem(atPath: embeddedModel, toPath: model)
        let outcome = try ProgramRun.run(
            "generate",
            [
                "--model", model, "--prompt", "Once", "--max-tokens", "2000", "--ignore-eos", "--threads", "1",
                "--seed", "1",
                "--log-level", "error",
            ], ranks: ranks
        ) { run in
            _ = run.wait { !run.output.isEmpty }
            let file = try #require(FileHandle(forWritingAtPath: "\(model)/model.safetensors"))
            // The byte stays the same; writing to the file is enough.
            try file.seek(toOffset: 8)
            try file.write(contentsOf: Data("{".utf8))
            try file.close()
        }
        #expect(outcome.status == 65, "\(outcome.errors)")
        #expect(outcome.errorLines.count == 1, "\(outcome.errors)")
        #expect(outcome.errors.contains("\(model)/model.safetensors was written to while it was in use"))
    }

    /// OpenAI's own GPT-2 files, and those of models saved without their head, name tensors without `transformer.`.
    @Test func aBodyWithoutItsPrefixIsFound() throws {
        let checkpoint = try TestCheckpoint(copying: "gpt2")
        let expected = try tokens(checkpoint)
        try checkpoint.editHeader { header in
            header = Dictionary(
                uniqueKeysWithValues: header.map { ($0.key.replacing("transformer.", with: ""), $0.value) })
        }
        #expect(try tokens(checkpoint) == expected && notes(checkpoint) == [])
    }

    /// Masks that older files store next to the weights are ignored without a warning.
    @Test func storedMasksAreLeft() throws {
        let checkpoint = try TestCheckpoint(copying: "gptj")
        let expected = try tokens(checkpoint)
        for name in ["transformer.h.0.attn.bias", "transformer.h.1.attn.masked_bias"] { try checkpoint.addTensor(name) }
        #expect(try tokens(checkpoint) == expected)
        #expect(try notes(checkpoint).filter { $0.contains("attn.bias") } == [])
        // A bias that a layer would have to add is not a mask.
        try checkpoint.addTensor("transformer.h.0.attn.q_proj.bias")
        let outcome = try ProgramRun.run(
            "generate", ["--model", checkpoint.path, "--prompt-token-ids", "5"], isShort: true)
        #expect(outcome.status == 65 && outcome.errors.contains("q_proj.bias"), "\(outcome.errors)")
    }
}

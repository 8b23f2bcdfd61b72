import Foundation
import TestSupport
import Testing

/// Ranks with different models, options or plans are refused, and the message names the difference.
@Suite(.serialized) struct RanksDifferTests {
    private static let model = "\(goldenPath)/llama-mha"

    /// Runs two ranks with different arguments, and expects a status and words in the message.
    private func expect(
        _ status: Int32, naming words: String..., model: String = model, rank0: [String] = [], rank1: [String] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let common = ["--prompt-token-ids", "5,6,7", "--max-tokens", "2", "--temperature", "0", "--ignore-eos"]
        let outcome = try ProgramRun.run(
            "generate",
            ["--model", Self.model] + common + rank0
                + [":", "-n", "1", "\(ProgramRun.productsPath)/generate", "--model", model] + common + rank1, ranks: 1)
        let shown = "\(rank0) \(rank1): \(outcome.status) \(outcome.errors)"
        #expect(outcome.status == status, "\(shown)", sourceLocation: sourceLocation)
        guard status != 0 else { return }
        #expect(outcome.output == "" && outcome.errorLines.count == 1, "\(shown)", sourceLocation: sourceLocation)
        for word in words + ["rank 1 on", "rank 0 on", "differ in"] {
            #expect(outcome.errors.contains(word), "\(word): \(shown)", sourceLocation: sourceLocation)
        }
    }

    @Test func otherWeightsOfTheSameShapes() throws {
        let other = try TestCheckpoint()
        try expect(0, model: other.path)
        var data = try other.data()
        for index in stride(from: data.count / 2 | 1, to: data.count, by: 2) { data[index] ^= 0x80 }
        try other.write(data, to: "model.safetensors")
        try expect(65, naming: "weight", model: other.path)
    }

    @Test func otherConfigurations() throws {
        let other = try TestCheckpoint()
        try other.edit { $0["rms_norm_eps"] = 0.1 }
        try expect(65, naming: "config.json", model: other.path)
        // A stored head is used whatever the key says, so the models are the same.
        try other.edit { ($0["rms_norm_eps"], $0["tie_word_embeddings"]) = (1e-6, true) }
        try expect(0, model: other.path)
        try other.edit { $0["rope_parameters"] = ["rope_theta": 100.0, "rope_type": "default"] }
        try expect(65, naming: "config.json", model: other.path)
    }

    @Test func otherOptions() throws {
        for (option, value) in [
            ("--dtype", "float32"), ("--quantization", "int8"), ("--kv-cache-dtype", "int8"),
            ("--activation-dtype", "float32"), ("--max-num-batched-tokens", "7"), ("--max-model-len", "99"),
            ("--all-reduce-dtype", "int8"), ("--kernels", "scalar"),
        ] {
            try expect(65, naming: option, rank1: [option, value])
        }
        try expect(65, naming: "--check-collectives", rank1: ["--check-collectives"])
    }

    /// Ranks that make different calls, and would wait for each other, are refused.
    @Test func otherCalls() throws {
        let outcome = try ProgramRun.run(
            "all_reduce_bench",
            ["-e", "1K", ":", "-n", "1", "\(ProgramRun.productsPath)/all_reduce_bench", "-e", "2K"], ranks: 1)
        #expect(outcome.status == 65 && outcome.output == "", "\(outcome.status)")
        #expect(
            outcome.errorLines.count == 1
                && outcome.errors.contains("differ in the collectives, types, reductions and sizes"),
            "\(outcome.errors)")
    }

    @Test func otherPlans() throws {
        let folder = try TemporaryFolder()
        let even = try folder.write(#"{"tensor_parallel_size": 2}"#, to: "even.json")
        let uneven = try folder.write(#"{"tensor_parallel_size": 2, "weights": [3, 1]}"#, to: "uneven.json")
        try expect(65, naming: "the plan", rank0: ["--topology", even], rank1: ["--topology", uneven])
        // Another way to give the same plan is not a difference.
        try expect(0, rank0: ["--topology", even], rank1: ["-tp", "2"])
    }
}

import Checkpoints
import Foundation
import Tensors
import TestSupport
import Testing

/// A rank needs memory for its share of a checkpoint of more than 1 GB, and little else.
@Suite(.serialized) struct MemoryTests {
    /// The bytes that a process may need besides weights, key-value cache and activations.
    static let allowance = 128 << 20

    private static let hidden = 2048
    private static let intermediate = 5632
    private static let vocabulary = 32000
    private static let keyValueWidth = 4 * 64
    private static let layerCount = 11

    /// Writes a Llama of 550 million random weights in bfloat16, which are 1.1 GB.
    private func writeModel(to folder: TemporaryFolder) throws -> Int {
        _ = try folder.write(
            """
            {"model_type": "llama", "hidden_size": \(Self.hidden), "intermediate_size": \(Self.intermediate),
             "num_hidden_layers": \(Self.layerCount), "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 64,
             "vocab_size": \(Self.vocabulary), "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
             "hidden_act": "silu", "tie_word_embeddings": true,
             "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}
            """, to: "config.json")
        var shapes: [(String, [Int])] = [
            ("model.embed_tokens.weight", [Self.vocabulary, Self.hidden]), ("model.norm.weight", [Self.hidden]),
        ]
        for layer in 0..<Self.layerCount {
            shapes += [
                ("input_layernorm", [Self.hidden]), ("post_attention_layernorm", [Self.hidden]),
                ("self_attn.q_proj", [Self.hidden, Self.hidden]),
                ("self_attn.k_proj", [Self.keyValueWidth, Self.hidden]),
                ("self_attn.v_proj", [Self.keyValueWidth, Self.hidden]),
                ("self_attn.o_proj", [Self.hidden, Self.hidden]),
                ("mlp.gate_proj", [Self.intermediate, Self.hidden]), ("mlp.up_proj", [Self.intermediate, Self.hidden]),
                ("mlp.down_proj", [Self.hidden, Self.intermediate]),
            ].map { ("model.layers.\(layer).\($0).weight", $1) }
        }
        let tensors = shapes.map { TensorDescription(name: $0, type: .bfloat16, shape: $1) }
        let writer = try SafetensorsWriter(path: "\(folder.path)/model.safetensors", tensors: tensors)
        // One block of values around ±0.02 is repeated, because only the size of the weights matters.
        var generator = SeededGenerator(seed: testSeed)
        let block = (0..<1 << 20).map { _ in
            UInt16.random(in: 0x3C80...0x3CC0, using: &generator) | UInt16.random(in: 0...1, using: &generator) << 15
        }
        try block.withUnsafeBytes { block in
            for (index, tensor) in tensors.enumerated() {
                var rest = try #require(tensor.byteCount)
                while rest > 0 {
                    let count = min(rest, block.count)
                    try writer.append(UnsafeRawBufferPointer(rebasing: block[..<count]), to: index)
                    rest -= count
                }
            }
        }
        try writer.finish()
        return writer.byteCount
    }

    private static let free: Int = {
        let values = try? FileManager.default.temporaryDirectory.resourceValues(forKeys: [.volumeAvailableCapacityKey])
        return values?.volumeAvailableCapacity ?? 0
    }()

    @Test(.enabled(if: free > 3_000_000_000, "the temporary directory has less than 3 GB free"))
    func aRankTakesItsShare() throws {
        let folder = try TemporaryFolder()
        let byteCount = try writeModel(to: folder)
        try #require(byteCount > 1 << 30 && byteCount < 1_300_000_000)
        let prompt = (1...40).map { "\($0 * 700)" }.joined(separator: ",")
        for (name, arguments) in [
            ("bfloat16", []), ("int8", ["--quantization", "int8"]),
            ("int8, two stages", ["--quantization", "int8", "-pp", "2"]),
        ] {
            let outcome = try ProgramRun.run(
                "generate",
                [
                    "--model", folder.path, "--prompt-token-ids", prompt, "--max-tokens", "4", "--temperature", "0",
                    "--format", "json",
                    "--log-level", "error",
                ] + arguments, ranks: 2, seconds: 120)
            try #require(outcome.status == 0, "\(name): \(outcome.errors)")
            let ranks = try #require(try outcome.json(GenerateOutput.self).memory)
            try #require(ranks.map(\.rank) == [0, 1])
            for rank in ranks {
                let planned = rank.weightBytes + rank.cacheBytes + rank.activationBytes
                let beyond = (rank.peakResidentBytes - planned) >> 20
                print("\(name), rank \(rank.rank): \(planned >> 20) MiB planned, \(beyond) MiB beyond")
                #expect(rank.peakResidentBytes <= planned + Self.allowance, "\(name), rank \(rank.rank): \(beyond) MiB")
                #expect(rank.cacheBytes > 0 && rank.activationBytes > 0 && rank.peakResidentBytes > rank.weightBytes)
            }
            // The ranks' weights add up to the model's; only a tied embedding and norms may be on both ranks.
            let weights = ranks.reduce(0) { $0 + $1.weightBytes }
            let whole = name == "bfloat16" ? byteCount : byteCount / 2
            let embedding = Self.vocabulary * Self.hidden * 2
            #expect(weights > whole * 9 / 10 && weights < whole * 11 / 10 + 2 * embedding, "\(name): \(weights)")
        }
    }
}

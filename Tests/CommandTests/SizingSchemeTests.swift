import Foundation
import TestSupport
import Testing

/// Tests `sizing` with models whose `config.json` declares a quantization.
@Suite struct SizingSchemeTests {
    private struct Answer: Decodable {
        struct Card: Decodable {
            let weights: Int
        }
        let per_card: Card?
        let quantization: String
        let notes: [String]
    }

    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func quantizedPlan(
        _ quantization: String, key: String = "quantization_config", profile: String = "vllm-cuda",
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Answer {
        let text = """
            {"model_type": "llama", "hidden_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8,
             "intermediate_size": 4096, "vocab_size": 1000, "max_position_embeddings": 2048, "\(key)": \(quantization)}
            """
        let config = try folder.write(text, to: "config.json")
        let outcome = try ProgramRun.run(
            "sizing",
            ["plan", "--format", "json", "--model", config, "--memory", "8GiB", "--profile", profile], isShort: true)
        #expect(outcome.status == 0 && outcome.errors == "", "\(outcome.errors)", sourceLocation: sourceLocation)
        return try outcome.json()
    }

    @Test func publishedSchemesAreRead() throws {
        func weights(_ quantization: String) throws -> Int {
            try quantizedPlan(quantization).per_card?.weights ?? 0
        }
        let half = try weights("null")
        let eight = try weights(#"{"quant_method": "gptq", "bits": 8, "group_size": 128}"#)
        #expect((0.4...0.6).contains(Double(eight) / Double(half)))
        for four in [
            #"{"quant_method": "gptq", "bits": 4}"#, #"{"quant_method": "bitsandbytes", "load_in_4bit": true}"#,
            #"{"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 4}}}}"#,
        ] {
            #expect((0.2...0.35).contains(Double(try weights(four)) / Double(half)), "\(four)")
        }
    }

    /// The bits of each matrix are counted, whatever the names and the number of the groups.
    @Test func everyBitOfAPublishedSchemeIsCounted() throws {
        // In each of the four layers, attention has 4 · 1024 · 1024 weights and the feed-forward 3 · 1024 · 4096.
        let (attention, feedForward) = (4.0 * 4 * 1024 * 1024, 4.0 * 3 * 1024 * 4096)
        let floats = Double(try quantizedPlan("null").per_card?.weights ?? 0)
        func expect(
            _ quantization: String, key: String = "quantization_config", bits: (Double, Double), name: String,
            note: String? = nil, location: SourceLocation = #_sourceLocation
        ) throws {
            let answer = try quantizedPlan(quantization, key: key, sourceLocation: location)
            let saved = (attention * (16 - bits.0) + feedForward * (16 - bits.1)) / 8
            let found = floats - Double(answer.per_card?.weights ?? 0)
            #expect(abs(found - saved) < 1000, "\(quantization): \(found), expected \(saved)", sourceLocation: location)
            #expect(answer.quantization == name, sourceLocation: location)
            #expect(
                answer.notes.contains { note.map($0.contains) ?? true } == (note != nil), "\(answer.notes)",
                sourceLocation: location)
        }
        // Each group has a 16-bit scale and a zero point.
        for (bits, name) in [(2.0, "gptq 2-bit"), (3, "gptq 3-bit"), (4, "gptq"), (8, "gptq 8-bit")] {
            let each = bits + (16 + bits) / 64
            try expect(
                #"{"quant_method": "gptq", "bits": \#(Int(bits)), "group_size": 64}"#, bits: (each, each), name: name)
        }
        func group(_ bits: Int, _ targets: String) -> String {
            #"{"targets": \#(targets), "weights": {"num_bits": \#(bits), "group_size": 128, "symmetric": true}}"#
        }
        func groups(_ text: String, more: String = "") -> String {
            #"{"quant_method": "compressed-tensors", "config_groups": {\#(text)}\#(more)}"#
        }
        let (four, eight) = (4 + 16.0 / 128, 8 + 16.0 / 128)
        try expect(groups(#""group_1": "# + group(4, #"["Linear"]"#)), bits: (four, four), name: "int4")
        try expect(
            groups(#""a": "# + group(8, #"["re:.*self_attn.*"]"#) + #", "b": "# + group(4, #"["Linear"]"#)),
            bits: (eight, four), name: "int8+int4")
        try expect(groups(#""a": "# + group(8, #"["re:.*mlp.*"]"#)), bits: (16, eight), name: "int8")
        try expect(
            groups(#""a": "# + group(4, #"["Linear"]"#), more: #", "ignore": ["re:.*self_attn.*", "lm_head"]"#),
            bits: (16, four), name: "int4")
        try expect(
            groups(#""a": "# + group(4, #"["Linear"]"#)), key: "compression_config", bits: (four, four), name: "int4")
        try expect(#"{"quant_method": "nonesuch"}"#, bits: (16, 16), name: "none", note: "\"nonesuch\" is not known")
        try expect(
            #"{"quant_method": "nonesuch", "bits": 3}"#, bits: (3.125, 3.125), name: "3-bit",
            note: "\"nonesuch\" is not known")
        try expect(
            groups(#""a": "# + group(4, #"["re:("]"#)), bits: (16, 16), name: "none", note: "cannot be read")
        try Refusal(65, naming: "too many steps").expect(
            "sizing",
            [
                "plan", "--memory", "8GiB", "--model",
                try folder.write(
                    """
                    {"model_type": "llama", "hidden_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8,
                     "intermediate_size": 4096, "vocab_size": 1000, "quantization_config":
                     \(groups(#""a": "# + group(4, #"["re:(([a-z._0-9]+)+)+[!?]"]"#)))}
                    """, to: "costly.json"),
            ])
        // This runtime's own accounting follows each matrix too.
        func own(_ text: String) throws -> Int { try quantizedPlan(text, profile: "trireme").per_card?.weights ?? 0 }
        let mixed = try own(
            groups(#""a": "# + group(8, #"["re:.*self_attn.*"]"#) + #", "b": "# + group(4, #"["Linear"]"#)))
        let (fours, eights) = (
            try own(groups(#""a": "# + group(4, #"["Linear"]"#))), try own(groups(#""a": "# + group(8, #"["Linear"]"#)))
        )
        let share = attention / (attention + feedForward)
        #expect(abs(Double(mixed - fours) / Double(eights - fours) - share) < 0.01)
        #expect(
            try quantizedPlan(#"{"quant_method": "gptq", "bits": 3}"#, profile: "trireme").notes.contains {
                $0.contains("gptq 3-bit")
            })
    }
}

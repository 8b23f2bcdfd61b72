import Tensors
import Testing

@testable import Architectures

/// What transformers' classes take for keys that a file leaves out, sets to null, or spells in an older way.
@Suite struct FamilyDefaultsTests {
    /// A null in the file; `smallConfiguration` takes the word alone for a missing key.
    private static let null = " null"

    private func attentions(_ type: String, _ changes: [String: String] = [:]) throws -> [GroupedQueryAttention] {
        try decoder(smallConfiguration(type, changes)).layers.compactMap {
            if case .groupedQuery(let attention) = $0.attention { attention } else { nil }
        }
    }

    @Test(arguments: ["mistral", "ministral"]) func windowsOfMistral(type: String) throws {
        #expect(try attentions(type).map(\.window) == [4096, 4096, 4096])
        #expect(try attentions(type, ["sliding_window": Self.null]).map(\.window) == [nil, nil, nil])
    }

    @Test func layersOfExaoneWithoutWindowDoNotRotate() throws {
        let four = ["num_hidden_layers": "4"]
        let usual = try attentions("exaone4", four)
        #expect(usual.map(\.window) == [4096, 4096, 4096, nil])
        #expect(usual.map { $0.rotation == nil } == [false, false, false, true])
        let none = try attentions("exaone4", four.merging(["sliding_window": Self.null]) { $1 })
        #expect(none.allSatisfy { $0.window == nil && $0.rotation != nil })
        let pattern = try attentions("exaone4", four.merging(["sliding_window_pattern": "\"LLLG\""]) { $1 })
        #expect(pattern == usual)
        #expect(
            refusal(smallConfiguration("exaone4", ["sliding_window_pattern": "\"LG\""]))?.contains("LLLG") == true)
    }

    @Test func layersOfSmolLMWithoutRotationHaveTheWindow() throws {
        let found = try attentions(
            "smollm3", ["num_hidden_layers": "4", "use_sliding_window": "true", "sliding_window": "16"])
        #expect(found.map(\.window) == [nil, nil, nil, 16] && found[3].rotation == nil)
    }

    @Test func keyValueHeadsThatAreMissingOrNull() throws {
        for (type, count) in [("seed_oss", 8), ("ernie4_5", 2), ("smollm3", 4), ("mistral", 8), ("llama", 8)] {
            let missing = try attentions(type, ["num_key_value_heads": "null"])
            let null = try attentions(type, ["num_key_value_heads": Self.null])
            #expect(missing[0].keyValueHeadCount == count && null[0].keyValueHeadCount == 8, "\(type)")
        }
        for type in ["seed_oss", "ernie4_5", "qwen3"] {
            let heads = try [attentions(type)[0], attentions(type, ["head_dim": Self.null])[0]]
            #expect(heads.map(\.headDimension) == [128, 8], "\(type)")
        }
    }

    @Test func rotationsThatAreMissing() throws {
        let plain = ["rope_theta": "null"]
        let ministral = try #require(attentions("ministral3", plain)[0].rotation).embedding
        guard case .yarn(let yarn) = ministral.scaling else { return #expect(Bool(false), "not YaRN") }
        #expect(ministral.theta == 1_000_000 && yarn.factor == 16 && yarn.attentionFactor == 1)
        #expect(try attentions("ministral3", plain)[0].scores.growth == .inSteps(of: 16_384, beta: 0.1))
        let apertus = try #require(attentions("apertus", plain)[0].rotation).embedding
        #expect(apertus.theta == 12_000_000)
        #expect(
            apertus.scaling
                == .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8192))
    }

    /// Phi-3's class takes the older names of LongRoPE, and yarn, for LongRoPE.
    @Test(arguments: ["longrope", "su", "yarn"]) func olderNamesOfLongRope(name: String) throws {
        let factors = "\"short_factor\": [1,1,1,1], \"long_factor\": [2,2,2,2]"
        let found = try attentions(
            "phi3", ["rope_scaling": "{\"type\": \"\(name)\", \(factors)}", "max_position_embeddings": "8192"])
        guard case .longRope(let scaling) = try #require(found[0].rotation).embedding.scaling else {
            return #expect(Bool(false), "not LongRoPE")
        }
        #expect(scaling.originalLength == 4096 && scaling.longFactors == [2, 2, 2, 2])
        #expect(refusal(smallConfiguration("llama", ["rope_scaling": "{\"type\": \"su\"}"]))?.contains("su") == true)
    }

    /// OLMo 3 scales the rotation of full layers only, in the older spelling and in the newer one.
    @Test func scalingOfOLMo3() throws {
        let yarn = #"{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512, "rope_theta": 1e6}"#
        let byKind = "{\"full_attention\": \(yarn), \"sliding_attention\": {\"rope_type\": \"default\"}}"
        for changes in [["rope_scaling": yarn], ["rope_parameters": byKind]] {
            let found = try attentions("olmo3", changes.merging(["num_hidden_layers": "4"]) { $1 })
            let scalings = found.compactMap { $0.rotation?.embedding.scaling }
            #expect(scalings.dropLast().allSatisfy { $0 == .none } && scalings.count == 4)
            guard case .yarn = scalings[3] else { return #expect(Bool(false), "not YaRN") }
        }
    }

    @Test func hunyuansAlphaIsABase() throws {
        let scaling = #"{"type": "dynamic", "alpha": 1000.0, "factor": 1.0}"#
        let rotation = try #require(attentions("hunyuan_v1_dense", ["rope_scaling": scaling])[0].rotation)
        // 10000 · 1000 ^ (8 / 6)
        #expect(abs(rotation.embedding.theta / 1e8 - 1) < 1e-12 && rotation.embedding.scaling == .none)
    }

    @Test func whatIsNotComputedIsNamed() throws {
        for (type, changes, word) in [
            ("minicpm", ["num_experts": "4"], "num_experts"), ("qwen", ["no_bias": "false"], "no_bias"),
            ("gemma4_text", ["use_bidirectional_attention": "\"all\""], "later tokens"),
            ("gemma4_text", [:], "embeddings for each layer"),
        ] {
            let features = try decoder(smallConfiguration(type, changes)).uncomputedFeatures
            #expect(features.contains { $0.contains(word) }, "\(type): \(features)")
        }
        for (type, changes) in [
            ("internlm", ["rotary": #"{"type": "other"}"#]),
            ("gemma4_text", ["per_layer_config": #"{"0": {"intermediate_size": 5}}"#]),
        ] {
            #expect(refusal(smallConfiguration(type, changes))?.contains("not supported") == true, "\(type)")
        }
    }
}

import Architectures
import Testing

/// Old and new keys give the same embedding, whose angles are those of Hugging Face transformers.
///
/// The expected angles follow `modeling_rope_utils.py` and were computed independently, in numpy with float64 and nine
/// digits.
@Suite struct RotaryEmbeddingTests {
    private static let yarnKeys =
        #""factor": 4.0, "original_max_position_embeddings": 512, "beta_fast": 16, "beta_slow": 2, "attention_factor": 1.25, "truncate": false"#
    private static let llama3Keys =
        #""factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 1024"#

    @Test(arguments: [
        ("default", ""), ("linear", #""factor": 4.0"#), ("dynamic", #""factor": 2"#), ("yarn", yarnKeys),
        ("yarn", #""factor": 4.0"#),
        ("llama3", llama3Keys),
    ])
    func oldAndNewKeysAreEqual(kind: String, keys: String) throws {
        let rest = keys.isEmpty ? "" : ", " + keys
        let changes: [[String: String]] = [
            ["rope_theta": "500000.0", "rope_scaling": "{\"type\": \"\(kind)\"\(rest)}"],
            ["rope_theta": "500000", "rope_scaling": "{\"rope_type\": \"\(kind)\"\(rest)}"],
            ["rope_theta": "500000.0", "rope_scaling": "{\"rope_type\": \"\(kind)\", \"type\": \"ignored\"\(rest)}"],
            ["rope_theta": "null", "rope_parameters": "{\"rope_type\": \"\(kind)\", \"rope_theta\": 500000.0\(rest)}"],
            // If a converted file has both bases, the object's own one counts.
            ["rope_theta": "7", "rope_parameters": "{\"rope_type\": \"\(kind)\", \"rope_theta\": 500000.0\(rest)}"],
        ]
        let decoders = try changes.map { try decoder(smallConfiguration("llama", $0)) }
        let rotary = try #require(decoders[0].layers[0].attention.rotation).embedding
        #expect(rotary.theta == 500_000)
        #expect(rotary.scaling != .none || kind == "default")
        for other in decoders.dropFirst() { #expect(other == decoders[0]) }
    }

    @Test func withoutScalingThereIsNone() throws {
        let plain = try decoder(smallConfiguration("llama", ["rope_theta": "500000.0"]))
        for scaling in ["rope_scaling", "rope_parameters"] {
            for value in ["null", "{}", "{\"rope_type\": \"default\"}"] {
                #expect(try decoder(smallConfiguration("llama", ["rope_theta": "500000.0", scaling: value])) == plain)
            }
        }
        // Keys that change nothing need no type.
        for value in [
            #"{"factor": 1.0}"#, #"{"original_max_position_embeddings": 2048}"#, #"{"rope_theta": 500000.0}"#,
        ] {
            #expect(
                try decoder(smallConfiguration("llama", ["rope_theta": "500000.0", "rope_scaling": value])) == plain)
        }
    }

    /// `rope_scaling` counts if both objects are present.
    ///
    /// Recipes for long texts add it to files that transformers 5 wrote.
    @Test func scalingCountsBesideParameters() throws {
        let yarn = #""rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512"#
        let expected = try decoder(
            smallConfiguration("llama", ["rope_theta": "500000.0", "rope_scaling": "{\(yarn)}"]))
        for (theta, parameters, scaling) in [
            ("null", #"{"rope_type": "default", "rope_theta": 500000.0}"#, "{\(yarn)}"),
            ("500000.0", #"{"rope_type": "default", "rope_theta": 7.0}"#, "{\(yarn)}"),
            ("null", #"{"rope_type": "default", "rope_theta": 7.0}"#, "{\(yarn), \"rope_theta\": 500000.0}"),
            ("500000.0", "{}", "{\(yarn)}"),
            ("null", #"{"rope_type": "linear", "factor": 2.0, "rope_theta": 500000.0}"#, "{\(yarn)}"),
            ("null", "{\(yarn), \"rope_theta\": 500000.0}", "{}"),
            // Parameters may be given by kind of layer, for one kind or the same for several.
            ("null", "{\"full_attention\": {\(yarn), \"rope_theta\": 500000.0}}", "null"),
            (
                "500000.0", "null",
                "{\"full_attention\": {\(yarn)}, \"sliding_attention\": {\(yarn), \"rope_theta\": 5e5}}"
            ),
        ] {
            let found = try decoder(
                smallConfiguration(
                    "llama", ["rope_theta": theta, "rope_parameters": parameters, "rope_scaling": scaling]))
            #expect(found == expected, "\(theta) \(parameters) \(scaling)")
        }
    }

    // inv_freq[i] = theta ^ (-2 i / d)
    @Test func defaultFrequencies() throws {
        let rotary = try rotary("null")
        expect(
            rotary.frequencies(dimension: 16, lengthClass: 0),
            [1.0, 0.316227766, 0.1, 0.0316227766, 0.01, 0.00316227766, 0.001, 0.000316227766])
        #expect(rotary.amplitude == 1)
    }

    // _compute_linear_scaling_rope_parameters: inv_freq / factor
    @Test func linearFrequencies() throws {
        let rotary = try rotary(#"{"type": "linear", "factor": 4.0}"#)
        expect(
            rotary.frequencies(dimension: 16, lengthClass: 0),
            [0.25, 0.0790569415, 0.025, 0.00790569415, 0.0025, 0.000790569415, 0.00025, 7.90569415e-05])
        #expect(rotary.amplitude == 1)
    }

    // _compute_dynamic_ntk_parameters: theta' = theta (factor n / n0 - (factor - 1)) ^ (d / (d - 2)), n0 = 2048
    @Test func dynamicFrequencies() throws {
        let rotary = try rotary(#"{"type": "dynamic", "factor": 2.0}"#)
        expect(
            rotary.frequencies(dimension: 16, lengthClass: rotary.lengthClass(promptLength: 8192)),
            [
                1.0, 0.239481356, 0.0573513199, 0.0137345719, 0.00328917389, 0.000787695824, 0.000188638464,
                4.51753951e-05,
            ])
        let plain = try self.rotary("null").frequencies(dimension: 16, lengthClass: 0)
        #expect(rotary.frequencies(dimension: 16, lengthClass: 0) == plain)
        for length in [1, 2047, 2048] { #expect(rotary.lengthClass(promptLength: length) == 0) }
    }

    // _compute_longrope_parameters: inv_freq / factor of the pair; sqrt(1 + ln s / ln n0), s = 2048 / 64, n0 = 64
    @Test func longRopeFrequencies() throws {
        let rotary = try rotary(
            #"{"type": "longrope", "short_factor": [1, 1, 2, 2], "long_factor": [1, 2, 4, 8], "#
                + #""original_max_position_embeddings": 64}"#)
        #expect(rotary.lengthClass(promptLength: 64) == 0 && rotary.lengthClass(promptLength: 65) == 1)
        expect(rotary.frequencies(dimension: 8, lengthClass: 0), [1, 0.1, 0.005, 0.0005])
        expect(rotary.frequencies(dimension: 8, lengthClass: 1), [1, 0.05, 0.0025, 0.000125])
        #expect(abs(rotary.amplitude - 1.35400640) < 2e-7)
        let message = refusal(
            smallConfiguration(
                "llama", ["rope_scaling": #"{"type": "longrope", "short_factor": [1], "long_factor": [1,1,1,1]}"#]))
        #expect(message?.contains("it has 1 factors, and 4 pairs") == true)
    }

    // alpha = 2 ^ ceil(log2(n / n0) + 1) - 1 and theta' = theta alpha ^ (d / (d - 2)) for n > n0 = 32
    @Test func doublingFrequencies() {
        let rotary = RotaryEmbedding(theta: 10_000, scaling: .doubling(length: 32), trainedLength: 1024)
        #expect([1, 32, 33, 64, 65, 128, 129].map { rotary.lengthClass(promptLength: $0) } == [0, 0, 1, 1, 2, 2, 3])
        expect(rotary.frequencies(dimension: 8, lengthClass: 0), [1, 0.1, 0.01, 0.001])
        // alpha 3 and 7
        expect(rotary.frequencies(dimension: 8, lengthClass: 1), [1, 0.0693361274, 0.00480749857, 0.000333333333])
        expect(rotary.frequencies(dimension: 8, lengthClass: 2), [1, 0.0522757958, 0.00273275882, 0.000142857143])
    }

    @Test func queriesGrowWithTheirPosition() {
        let steps = QueryGrowth.inSteps(of: 16, beta: 0.1)
        #expect([0, 15].map(steps.factor) == [1, 1])
        // 1 + 0.1 ln 2 and 1 + 0.1 ln 3
        #expect(
            abs(steps.factor(position: 16) - 1.06931472) < 2e-7 && abs(steps.factor(position: 47) - 1.10986123) < 2e-7)
        let logarithmic = QueryGrowth.logarithmic(beyond: 32)
        #expect([0, 31].map(logarithmic.factor) == [1, 1])
        // ln 64 / ln 32
        #expect(abs(logarithmic.factor(position: 63) - 1.2) < 2e-7)
    }

    // The reference compares contexts with max_position_embeddings and ignores the original length.
    @Test func dynamicIgnoresTheOriginalLength() throws {
        let with = try rotary(#"{"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 512}"#)
        #expect(try with == rotary(#"{"type": "dynamic", "factor": 2.0}"#))
    }

    // _compute_yarn_parameters, n0 = 4096: between the pairs that turn 32 times and once, floor(2.618) and ceil(5.628),
    // a ramp from inv_freq to inv_freq / factor
    @Test func yarnFrequencies() throws {
        let rotary = try rotary(#"{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}"#)
        expect(
            rotary.frequencies(dimension: 16, lengthClass: 0),
            [1.0, 0.316227766, 0.1, 0.025693506, 0.00625, 0.00138349648, 0.00025, 7.90569415e-05])
        // 0.1 ln 4 + 1
        #expect(abs(rotary.amplitude - 1.13862944) < 2e-7)
    }

    @Test func yarnFrequenciesWithoutRounding() throws {
        let rotary = try rotary(
            #"{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096, "truncate": false}"#)
        expect(
            rotary.frequencies(dimension: 16, lengthClass: 0),
            [1.0, 0.316227766, 0.1, 0.0286136088, 0.00655697152, 0.00128563203, 0.00025, 7.90569415e-05])
    }

    @Test func yarnFrequenciesWithOtherTurns() throws {
        let rotary = try rotary(
            #"{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096, "beta_fast": 8, "beta_slow": 2}"#
        )
        expect(
            rotary.frequencies(dimension: 16, lengthClass: 0),
            [1.0, 0.316227766, 0.1, 0.0316227766, 0.0075, 0.00158113883, 0.00025, 7.90569415e-05])
    }

    // m(s) = 0.1 s ln(factor) + 1: the factor given, else m(mscale) / m(mscale_all_dim) if both are not 0, else m(1)
    @Test(arguments: [
        (#""factor": 40"#, 1.36888795), (#""factor": 40, "mscale": 0.707, "mscale_all_dim": 1.0"#, 0.921042355),
        (#""factor": 40, "mscale": 1.0, "mscale_all_dim": 0.707"#, 1.0857264),
        (#""factor": 40, "mscale": 0.707"#, 1.36888795),
        (#""factor": 40, "mscale": 0, "mscale_all_dim": 1"#, 1.36888795),
        (#""factor": 40, "attention_factor": 0.75"#, 0.75),
        (#""factor": 1"#, 1.0),
        // Without a factor, it is the ratio to the original length, here 2048 / 512.
        (#""original_max_position_embeddings": 512"#, 1.13862944),
    ])
    func yarnAmplitudes(keys: String, amplitude: Float) throws {
        #expect(abs(try rotary("{\"type\": \"yarn\", \(keys)}").amplitude - amplitude) < 2e-7)
    }

    // _compute_llama3_parameters: wavelengths over n0 / low divided by the factor, under n0 / high kept; between,
    // s = (n0 / wavelength - low) / (high - low), (1 - s) inv_freq / factor + s inv_freq
    @Test func llama3Frequencies() throws {
        let keys = #""low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192"#
        expect(
            try rotary("{\"rope_type\": \"llama3\", \"factor\": 8.0, \(keys)}").frequencies(
                dimension: 32, lengthClass: 0),
            [
                1.0, 0.562341325, 0.316227766, 0.177827941, 0.1, 0.0562341325, 0.0316227766, 0.0177827941, 0.01,
                0.00562341325,
                0.00316227766, 0.00090615274, 0.000213607544, 7.02926656e-05, 3.95284708e-05, 2.22284926e-05,
            ])
        expect(
            try rotary("{\"rope_type\": \"llama3\", \"factor\": 32.0, \(keys)}", theta: "500000.0")
                .frequencies(dimension: 16, lengthClass: 0),
            [
                1.0, 0.193922745, 0.0376060309, 0.00729266474, 0.000429556797, 8.57025549e-06, 1.66196747e-06,
                3.22293293e-07,
            ])
    }

    @Test func theLongestContextFollowsTheScaling() throws {
        func limit(_ scaling: String) throws -> Int {
            try decoder(smallConfiguration("llama", ["rope_scaling": scaling])).positionLimit
        }
        #expect(try limit("null") == 2048)
        #expect(try limit(#"{"type": "linear", "factor": 4.0}"#) == 8192)
        #expect(try limit(#"{"type": "linear", "factor": 1e6}"#) == 1 << 30)
        #expect(try limit(#"{"type": "dynamic", "factor": 4.0}"#) == 8192)
        #expect(try limit(#"{"type": "yarn", "factor": 4.0}"#) == 8192)
        // The max_position_embeddings of this file already include the scaling.
        #expect(try limit(#"{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}"#) == 2048)
        #expect(
            try limit(#"{"type": "yarn", "factor": 1e6, "original_max_position_embeddings": 1073741824}"#) == 1 << 30)
    }

    /// The limit is right for families that are not computed yet, too; Gemma 3's file already includes the scaling.
    @Test func plannedFamiliesReachAsFar() throws {
        func limit(_ type: String, _ scaling: String) throws -> Int {
            try decoder(smallConfiguration(type, ["rope_scaling": scaling])).positionLimit
        }
        let linear = #"{"type": "linear", "factor": 4.0}"#
        #expect(try limit("qwen3", linear) == 8192)
        #expect(
            try limit("qwen3", #"{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}"#) == 4096)
        #expect(
            try limit("phi3", #"{"type": "longrope", "short_factor": [1,1,1,1], "long_factor": [2,2,2,2]}"#) == 2048)
        #expect(try limit("gemma3_text", linear) == 2048)
    }

    private func rotary(_ scaling: String, theta: String = "10000.0") throws -> RotaryEmbedding {
        let decoder = try decoder(smallConfiguration("llama", ["rope_scaling": scaling, "rope_theta": theta]))
        return try #require(decoder.layers[0].attention.rotation).embedding
    }

    /// Expects equality within a unit in the last place of float32, because both sides are float64 until the end.
    private func expect(_ found: [Float], _ expected: [Float], location: SourceLocation = #_sourceLocation) {
        #expect(found.count == expected.count, sourceLocation: location)
        for (pair, (found, expected)) in zip(found, expected).enumerated() where abs(found - expected) > expected.ulp {
            Issue.record("pair \(pair): \(found), expected \(expected)", sourceLocation: location)
        }
    }
}

import Architectures
import Foundation
import Testing

/// Configuration files are untrusted input: reading a key gives a value in range, or a message that names the key.
@Suite struct ConfigurationFileTests {
    @Test(arguments: [
        "", " ", "{", "[1]", "3", "\"text\"", "null", "{\"a\": 1", "{'a': 1}", "{\"a\": nan}", "{\"a\": +1}",
        "{\"a\": 01}",
        "\u{0}", String(repeating: "[", count: 100_000), "{\"a\": 1} x",
    ])
    func whatIsNoObjectIsRefused(text: String) {
        expectMalformed("it is not a JSON object") { () throws(ConfigurationError) in _ = try configurationFile(text) }
    }

    /// Files that Python's reader accepts are read, and odd values in them are refused only when they are needed.
    @Test func whatPythonReadsIsRead() throws {
        let file = try configurationFile(
            #"{"a": NaN, "b": Infinity, "c": -Infinity, "d": 1e400, "e": "\ud800x", "size": 1, "size": 2, "none": -1, "ends": [3, -1]}"#
        )
        #expect(try file.integer("size", in: 0...7) == 2)
        #expect(try file.tokenIDs("none") == [] && file.tokenIDs("ends") == [3])
        #expect(try file.optionalString("e") == "\u{FFFD}x")
        for (key, shown) in [("a", "NaN"), ("b", "Infinity"), ("c", "-Infinity"), ("d", "1e400")] {
            expectMalformed("\"\(key)\" is \(shown)", "a number from") { () throws(ConfigurationError) in
                _ = try file.optionalNumber(key, in: -1e300...1e300)
            }
            expectMalformed("\"\(key)\" is \(shown)", "a whole number") { () throws(ConfigurationError) in
                _ = try file.integer(key, in: 0...1)
            }
        }
    }

    @Test func bytesThatAreNoTextAreRefused() {
        #expect(throws: ConfigurationError.self) {
            try ConfigurationFile(data: Data([0x7B, 0xFF, 0xFE, 0x7D]), path: "x")
        }
    }

    @Test func valuesOfTheRightKindAreRead() throws {
        let file = try configurationFile(
            """
            {"count": 7, "whole": 7.0, "number": 0.5, "yes": true, "text": "silu", "list": ["a", "b"], "one": 5,
             "many": [5, 6], "inner": {"factor": 2}, "nothing": null}
            """)
        #expect(try file.integer("count", in: 0...7) == 7)
        #expect(try file.integer("whole", in: 7...9) == 7)
        #expect(try file.number("number", in: 0...1) == 0.5)
        #expect(try file.number("count", in: 0...10) == 7)
        #expect(try file.optionalBool("yes") == true)
        #expect(try file.optionalString("text") == "silu")
        #expect(try file.optionalStrings("list") == ["a", "b"])
        #expect(try file.tokenIDs("one") == [5] && file.tokenIDs("many") == [5, 6] && file.tokenIDs("absent") == [])
        #expect(try file.optionalObject("inner")?.number("factor", in: 1...4) == 2)
        #expect(file.has("count") && !file.has("nothing") && !file.has("absent"))
        for key in ["nothing", "absent"] {
            #expect(try file.optionalInteger(key, in: 0...1) == nil)
            #expect(try file.optionalNumber(key, in: 0...1) == nil)
            #expect(try file.optionalBool(key) == nil)
            #expect(try file.optionalString(key) == nil)
            #expect(try file.optionalStrings(key) == nil)
            #expect(try file.optionalObject(key) == nil)
            #expect(throws: ConfigurationError.missingKey(path: "model/config.json", key: key)) {
                try file.integer(key, in: 0...1)
            }
            #expect(throws: ConfigurationError.missingKey(path: "model/config.json", key: key)) {
                try file.number(key, in: 0...1)
            }
        }
    }

    @Test(arguments: [
        "true", "\"7\"", "[7]", "{}", "7.5", "-1", "101", "1e30", "-1e30", "9223372036854775807", "9223372036854775808",
        "-9223372036854775809", "1e308",
    ])
    func integersOfAnotherKindOrRangeAreRefused(value: String) throws {
        let file = try configurationFile("{\"size\": \(value), \"inner\": {\"size\": \(value)}}")
        expectMalformed("\"size\"", "a whole number from 0 to 100") { () throws(ConfigurationError) in
            _ = try file.integer("size", in: 0...100)
        }
        // A message about a key inside an object names the object too.
        let inner = try #require(try file.optionalObject("inner"))
        expectMalformed("\"inner.size\"", "a whole number") { () throws(ConfigurationError) in
            _ = try inner.optionalInteger("size", in: 0...100)
        }
    }

    @Test(arguments: ["false", "\"0.5\"", "[]", "{}", "-0.1", "1.1", "1e300", "-9223372036854775808"])
    func numbersOfAnotherKindOrRangeAreRefused(value: String) throws {
        let file = try configurationFile("{\"rate\": \(value)}")
        expectMalformed("\"rate\"", "a number") { () throws(ConfigurationError) in
            _ = try file.number("rate", in: 0...1)
        }
    }

    @Test func otherKindsAreRefusedWithTheirKey() throws {
        let file = try configurationFile(
            #"{"a": 1, "b": "true", "c": ["x", 1], "d": [1, -2], "e": [1, "2"], "f": 4294967296}"#)
        expectMalformed("\"b\"", "true or false") { () throws(ConfigurationError) in _ = try file.optionalBool("b") }
        expectMalformed("\"a\"", "true or false") { () throws(ConfigurationError) in _ = try file.optionalBool("a") }
        expectMalformed("\"a\"", "a string") { () throws(ConfigurationError) in _ = try file.optionalString("a") }
        expectMalformed("\"a\"", "a list of strings") { () throws(ConfigurationError) in
            _ = try file.optionalStrings("a")
        }
        expectMalformed("\"c\"", "a list of strings") { () throws(ConfigurationError) in
            _ = try file.optionalStrings("c")
        }
        expectMalformed("\"a\"", "an object") { () throws(ConfigurationError) in _ = try file.optionalObject("a") }
        expectMalformed("\"d\" is -2", "a token id") { () throws(ConfigurationError) in _ = try file.tokenIDs("d") }
        expectMalformed("\"e\" is \"2\"", "a token id") { () throws(ConfigurationError) in _ = try file.tokenIDs("e") }
        expectMalformed("\"f\" is 4294967296", "a token id") { () throws(ConfigurationError) in
            _ = try file.tokenIDs("f")
        }
    }

    @Test(arguments: ["hidden_act", "rope_type", "model_type"])
    func longStringsAreCutAndStayOnOneLine(key: String) throws {
        let hostile = "\"evil\\n\\u001b[31m" + String(repeating: "x", count: 5000) + "\""
        let text =
            key == "rope_type"
            ? smallConfiguration("llama", ["rope_scaling": "{\"rope_type\": \(hostile)}"])
            : smallConfiguration("llama", [key: hostile])
        let message = try #require(refusal(text))
        #expect(message.count < 300)
        #expect(!message.contains { $0.isNewline } && !message.unicodeScalars.contains("\u{1B}"))
    }

    @Test(arguments: [
        "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
    ])
    func keysThatAModelNeedsAreMissed(key: String) throws {
        let message = try #require(refusal(smallConfiguration("llama", [key: "null"])))
        #expect(message.contains("model/config.json") && message.contains("\"\(key)\" is missing"))
    }

    @Test(arguments: [
        "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
        "vocab_size",
        "max_position_embeddings", "head_dim",
    ])
    func absurdSizesAreRefused(key: String) throws {
        for value in ["0", "-1", "1e18", "9223372036854775807", "2.5", "true", "[]", "{}", "\"64\""] {
            let message = try #require(refusal(smallConfiguration("llama", [key: value])), "\(key): \(value)")
            #expect(message.contains("\"\(key)\""))
        }
    }

    @Test(arguments: [
        ("num_key_value_heads", "3", "evenly"), ("num_key_value_heads", "16", "1 to 8"), ("head_dim", "7", "odd"),
        ("num_attention_heads", "7", "head_dim"), ("hidden_act", "\"tanh\"", "silu"),
        ("rms_norm_eps", "2", "0.0 to 1.0"),
        ("partial_rotary_factor", "0.5", "whole heads"), ("rope_scaling", "[]", "an object"),
        ("rope_theta", "0", "\"rope_theta\""),
        ("rope_scaling", "{\"type\": \"longrope\"}", "short_factor"),
        ("rope_scaling", "{\"type\": \"su\"}", "known are default, linear"),
        ("rope_scaling", "{\"type\": \"linear\"}", "\"rope_scaling.factor\" is missing"),
        ("rope_scaling", "{\"type\": \"linear\", \"factor\": 0.5}", "\"rope_scaling.factor\""),
        ("rope_scaling", "{\"type\": 3}", "a string"),
        ("rope_scaling", "{\"factor\": 4}", "factor has no meaning"),
        ("rope_scaling", "{\"original_max_position_embeddings\": 512}", "has no meaning"),
        ("rope_parameters", "{\"rope_type\": null, \"factor\": 1, \"low_freq_factor\": 1}", "low_freq_factor has no"),
        (
            "rope_parameters",
            "{\"full_attention\": {\"rope_theta\": 10000}, \"sliding_attention\": {\"rope_theta\": 1000000}}",
            "different rotary parameters"
        ),
        ("rope_parameters", "{\"full_attention\": {\"rope_theta\": 7}, \"rope_theta\": 7}", "stands beside"),
        ("layer_types", "[\"full_attention\", \"full_attention\", \"chunked_attention\"]", "\"chunked_attention\""),
        ("layer_types", "[\"full_attention\", \"sliding_attention\", \"full_attention\"]", "has full_attention"),
        ("rope_parameters", "{\"type\": \"yarn\", \"factor\": 4, \"rope_theta\": 1}", "above 1"),
        ("rope_parameters", "{\"rope_type\": \"llama3\", \"factor\": 8}", "original_max_position_embeddings"),
        ("rope_parameters", "{\"rope_type\": \"default\", \"partial_rotary_factor\": 0.5}", "whole heads"),
        ("attention_bias", "1", "true or false"), ("tie_word_embeddings", "\"no\"", "true or false"),
    ])
    func whatTheRuntimeCannotDoIsRefused(key: String, value: String, words: String) throws {
        let changes = key == "num_attention_heads" ? [key: value, "num_key_value_heads": "7"] : [key: value]
        let message = try #require(refusal(smallConfiguration("llama", changes)))
        #expect(message.contains(words), "\(message)")
    }

    private func expectMalformed(
        _ words: String..., location: SourceLocation = #_sourceLocation, _ body: () throws(ConfigurationError) -> Void
    ) {
        do throws(ConfigurationError) {
            try body()
            Issue.record("nothing was thrown", sourceLocation: location)
        } catch {
            guard case .malformed = error else {
                Issue.record("\(error)", sourceLocation: location)
                return
            }
            for word in words + ["model/config.json"] {
                #expect(error.description.contains(word), "\(error)", sourceLocation: location)
            }
        }
    }
}

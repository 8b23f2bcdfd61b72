import Foundation
import JSON
import Testing

@testable import Checkpoints

@Suite struct QuantizationConfigurationTests {
    func parse(_ text: String) throws -> QuantizationConfiguration? {
        let value = try Array(text.utf8).withUnsafeBytes { try JSONValue(parsing: $0, as: .python) }
        return try QuantizationConfiguration(configuration: value, path: "config.json")
    }

    func failure(_ text: String) -> String? {
        do {
            _ = try parse(text)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test func absent() throws {
        #expect(try parse("{}") == nil)
        #expect(try parse("{\"quantization_config\":null}") == nil)
    }

    /// The block may have the name that compressed-tensors gave it before transformers knew it.
    @Test func theOlderKeyIsRead() throws {
        let block = packQuantizedConfiguration(weights: "\"num_bits\":4,\"group_size\":64")
        let older = block.replacing("quantization_config", with: "compression_config")
        #expect(try parse(older) == parse(block) && parse(older) != nil)
        #expect(try parse(older.replacing("{\"comp", with: "{\"quantization_config\":null,\"comp")) == parse(block))
    }

    @Test func granularities() throws {
        func granularity(_ weights: String) throws -> QuantizationConfiguration.Granularity? {
            try parse(packQuantizedConfiguration(weights: "\"num_bits\":4,\(weights)"))?.scheme(for: "a")?.granularity
        }
        #expect(try granularity("\"strategy\":\"group\",\"group_size\":64") == .group(64))
        #expect(try granularity("\"strategy\":\"channel\",\"group_size\":-1") == .channel)
        #expect(try granularity("\"strategy\":null,\"group_size\":32") == .group(32))
        #expect(try granularity("\"group_size\":-1") == .channel)
        #expect(try granularity("\"group_size\":null") == .tensor)
    }

    @Test func ignoredAndTargeted() throws {
        let weights = "\"num_bits\":8,\"symmetric\":false,\"strategy\":\"channel\""
        let configuration = try #require(
            try parse(
                packQuantizedConfiguration(
                    weights: weights, ignore: "[\"lm_head\",\"re:.*mlp\\\\.gate$\",\"re:vision\"]")))
        #expect(try configuration.scheme(for: "lm_head") == nil)
        #expect(try configuration.scheme(for: "model.layers.0.mlp.gate") == nil)
        #expect(try configuration.scheme(for: "vision.tower") == nil)
        #expect(try configuration.scheme(for: "model.vision") != nil, "patterns fit from the start of a name")
        #expect(try configuration.scheme(for: "model.layers.0.mlp.gate_proj")?.bits == 8)
        #expect(try configuration.scheme(for: "model.layers.0.mlp.gate_proj")?.isSymmetric == false)
    }

    /// A pattern that would take longer than the universe is refused where it is used.
    @Test(arguments: ["re:(([a-z._0-9]+)+)+[!?]", "re:(.*)*[!?]"]) func costlyPatternsAreRefused(pattern: String) throws
    {
        let text = packQuantizedConfiguration(weights: "\"num_bits\":4", ignore: "[\"\(pattern)\"]")
        let configuration = try #require(try parse(text))
        do {
            _ = try configuration.scheme(for: "model.layers.10.self_attn.down_projection")
            Issue.record("it came to an end")
        } catch {
            #expect("\(error)".contains("takes too many steps") && "\(error)".contains(pattern.dropFirst(5)))
        }
    }

    @Test func anExactTargetGoesBeforeTheClass() throws {
        let text = """
            {"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {
              "a": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 32}},
              "b": {"targets": ["re:.*down_proj"], "weights": {"num_bits": 8, "group_size": -1}},
              "c": {"targets": ["x.up_proj"], "weights": {"num_bits": 8, "group_size": 16}}}}}
            """
        let configuration = try #require(try parse(text))
        #expect(try configuration.scheme(for: "x.q_proj")?.bits == 4)
        #expect(try configuration.scheme(for: "x.down_proj")?.granularity == .channel)
        #expect(try configuration.scheme(for: "x.up_proj")?.granularity == .group(16))
        #expect(configuration.ignored == [])
    }

    @Test func refusalsNameWhatTheyRefuse() {
        func block(_ text: String) -> String { "{\"quantization_config\":\(text)}" }
        let cases = [
            (block("{\"quant_method\":\"gptq\"}"), "\"gptq\""),
            (block("{}"), "none named"),
            (block("{\"quant_method\":\"compressed-tensors\"}"), "config_groups"),
            (
                block(
                    "{\"quant_method\":\"compressed-tensors\",\"format\":\"nvfp4-pack-quantized\","
                        + "\"config_groups\":{\"a\":{}}}"),
                "\"nvfp4-pack-quantized\""
            ),
            (packQuantizedConfiguration(weights: "\"num_bits\":3"), "3-bit int"),
            (packQuantizedConfiguration(weights: "\"num_bits\":4,\"strategy\":\"block\""), "strategy \"block\""),
            (packQuantizedConfiguration(weights: "\"num_bits\":4,\"group_size\":0"), "group_size"),
            (packQuantizedConfiguration(weights: "\"num_bits\":4", ignore: "[\"re:(\"]"), "re:("),
            (packQuantizedConfiguration(weights: "\"num_bits\":4", ignore: "[1]"), "ignore"),
            (
                packQuantizedConfiguration(weights: "\"num_bits\":4").replacing("\"int\"", with: "\"float\""),
                "4-bit float"
            ),
        ]
        for (text, expected) in cases {
            let message = failure(text)
            #expect(message?.contains(expected) == true, "\(text): \(message ?? "no error")")
            #expect(message?.contains("\n") == false)
        }
    }
}

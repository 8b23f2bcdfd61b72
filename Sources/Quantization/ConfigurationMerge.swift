import Checkpoints
import JSON

/// Adds `quantization_config` to a config.json and keeps every other byte.
///
/// The block is inserted before the last closing brace, because decoding and encoding the file would lose the order of
/// keys and the spelling of numbers. The result is parsed and compared with the original, member by member.
///
/// - Throws: `checkpoint(.malformedFile)` unless the text is a JSON object; `alreadyQuantized`.
func mergedConfiguration(
    _ original: [UInt8], path: String, scheme: IntegerScheme, ignored: [String]
) throws(QuantizationError) -> [UInt8] {
    func malformed(_ problem: String) -> QuantizationError {
        .checkpoint(.malformedFile(path: path, problem: problem))
    }
    func members(_ text: [UInt8]) throws(QuantizationError) -> [JSONMember] {
        let value: JSONValue
        do {
            value = try JSONValue(parsing: text, as: .python)
        } catch {
            throw malformed("\(error)")
        }
        guard let members = value.members else { throw malformed("it is not a JSON object") }
        return members
    }

    let key = "quantization_config"
    let before = try members(original)
    guard !before.contains(where: { QuantizationConfiguration.keys.contains($0.name) }) else {
        throw .alreadyQuantized(path: path)
    }
    // The text of a JSON object ends in its closing brace and white space.
    guard let brace = original.lastIndex(of: UInt8(ascii: "}")) else { throw malformed("it is not a JSON object") }
    let isSpace: (UInt8) -> Bool = { [0x20, 0x09, 0x0A, 0x0D].contains($0) }
    let end = original[..<brace].lastIndex { !isSpace($0) }.map { $0 + 1 } ?? brace
    let block = quantizationBlock(scheme: scheme, ignored: ignored)
    let member = "\(before.isEmpty ? "" : ",")\n  \"\(key)\": \(block)\n"
    let merged = Array(original[..<end]) + Array(member.utf8) + Array(original[brace...])

    let after = try members(merged)
    guard after.count == before.count + 1, Array(after.dropLast()) == before, after.last?.name == key else {
        throw malformed("quantization_config cannot be added to it")
    }
    return merged
}

/// The text of `quantization_config`, with the keys that compressed-tensors 0.20.0 writes, indented by two spaces.
private func quantizationBlock(scheme: IntegerScheme, ignored: [String]) -> String {
    let (strategy, groupSize) =
        switch scheme.granularity {
        case .group(let size): ("group", "\(size)")
        case .channel: ("channel", "null")
        case .tensor: ("tensor", "null")
        }
    let ignore = ignored.map { "      \(JSONValue.encoded($0))" }.joined(separator: ",\n")
    return """
        {
            "config_groups": {
              "group_0": {
                "format": "pack-quantized",
                "input_activations": null,
                "output_activations": null,
                "targets": [
                  "Linear"
                ],
                "weights": {
                  "actorder": null,
                  "block_structure": null,
                  "dynamic": false,
                  "group_size": \(groupSize),
                  "num_bits": \(scheme.bits),
                  "observer": "minmax",
                  "observer_kwargs": {},
                  "strategy": "\(strategy)",
                  "symmetric": \(scheme.isSymmetric),
                  "type": "int"
                }
              }
            },
            "format": "pack-quantized",
            "global_compression_ratio": null,
            "ignore": [
        \(ignore)
            ],
            "kv_cache_scheme": null,
            "quant_method": "compressed-tensors",
            "quantization_status": "compressed"
          }
        """
}

import Architectures
import Foundation

/// Parses a `config.json` from its text.
func configurationFile(_ text: String) throws(ConfigurationError) -> ConfigurationFile {
    try ConfigurationFile(data: Data(text.utf8), path: "model/config.json")
}

/// The `config.json` of a small model, with `changes` applied to it; a change to "null" leaves the key out.
func smallConfiguration(_ modelType: String = "llama", _ changes: [String: String] = [:]) -> String {
    var keys = [
        "model_type": "\"\(modelType)\"", "hidden_size": "64", "num_hidden_layers": "3", "num_attention_heads": "8",
        "num_key_value_heads": "4", "intermediate_size": "96", "vocab_size": "160", "max_position_embeddings": "2048",
        "rms_norm_eps": "1e-5", "rope_theta": "10000.0",
    ]
    for (key, value) in changes { keys[key] = value == "null" ? nil : value }
    return "{" + keys.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ") + "}"
}

/// The decoder that a `config.json` describes, by the family that it names.
func decoder(_ text: String) throws(ConfigurationError) -> DecoderConfiguration {
    let file = try configurationFile(text)
    return try ModelDescription(file).decoder
}

/// The message with which a configuration is refused; nil if it is accepted.
func refusal(_ text: String) -> String? {
    do throws(ConfigurationError) {
        _ = try decoder(text)
        return nil
    } catch {
        return error.description
    }
}

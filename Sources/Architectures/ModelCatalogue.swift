import Foundation

/// Shapes of published models by name, for measurements and plans without their files.
public enum ModelCatalogue {
    private struct Entry {
        let name: String
        let type: String
        let hidden: Int
        let layers: Int
        let heads: Int
        let keyValueHeads: Int
        let intermediate: Int
        let vocabulary: Int
        let length: Int
        var head: Int?
        var theta = 10_000.0
        var ties = false
    }

    // Source: the models' config.json files as published.
    private static let entries: [Entry] = [
        Entry(
            name: "tinyllama-1.1b", type: "llama", hidden: 2048, layers: 22, heads: 32, keyValueHeads: 4,
            intermediate: 5632,
            vocabulary: 32000, length: 2048),
        Entry(
            name: "llama2-7b", type: "llama", hidden: 4096, layers: 32, heads: 32, keyValueHeads: 32,
            intermediate: 11008,
            vocabulary: 32000, length: 4096),
        Entry(
            name: "llama2-13b", type: "llama", hidden: 5120, layers: 40, heads: 40, keyValueHeads: 40,
            intermediate: 13824,
            vocabulary: 32000, length: 4096),
        Entry(
            name: "llama2-70b", type: "llama", hidden: 8192, layers: 80, heads: 64, keyValueHeads: 8,
            intermediate: 28672,
            vocabulary: 32000, length: 4096),
        Entry(
            name: "llama3-8b", type: "llama", hidden: 4096, layers: 32, heads: 32, keyValueHeads: 8,
            intermediate: 14336,
            vocabulary: 128256, length: 8192, theta: 500_000),
        Entry(
            name: "llama3-70b", type: "llama", hidden: 8192, layers: 80, heads: 64, keyValueHeads: 8,
            intermediate: 28672,
            vocabulary: 128256, length: 8192, theta: 500_000),
        Entry(
            name: "llama3.2-1b", type: "llama", hidden: 2048, layers: 16, heads: 32, keyValueHeads: 8,
            intermediate: 8192,
            vocabulary: 128256, length: 131_072, head: 64, theta: 500_000, ties: true),
        Entry(
            name: "llama3.2-3b", type: "llama", hidden: 3072, layers: 28, heads: 24, keyValueHeads: 8,
            intermediate: 8192,
            vocabulary: 128256, length: 131_072, head: 128, theta: 500_000, ties: true),
        Entry(
            name: "mistral-7b", type: "mistral", hidden: 4096, layers: 32, heads: 32, keyValueHeads: 8,
            intermediate: 14336,
            vocabulary: 32000, length: 32768),
        Entry(
            name: "qwen2-0.5b", type: "qwen2", hidden: 896, layers: 24, heads: 14, keyValueHeads: 2, intermediate: 4864,
            vocabulary: 151_936, length: 131_072, theta: 1_000_000, ties: true),
        Entry(
            name: "qwen2-7b", type: "qwen2", hidden: 3584, layers: 28, heads: 28, keyValueHeads: 4, intermediate: 18944,
            vocabulary: 152_064, length: 131_072, theta: 1_000_000),
    ]

    /// The names, in the order of the catalogue.
    public static var names: [String] { entries.map(\.name) }

    /// A `config.json` of the model.
    public static func configuration(named name: String) -> Data? {
        guard let entry = entries.first(where: { $0.name == name }) else { return nil }
        let text = """
            {"model_type": "\(entry.type)", "hidden_size": \(entry.hidden), "num_hidden_layers": \(entry.layers),
             "num_attention_heads": \(entry.heads), "num_key_value_heads": \(entry.keyValueHeads),
             "head_dim": \(entry.head ?? entry.hidden / entry.heads), "intermediate_size": \(entry.intermediate),
             "vocab_size": \(entry.vocabulary), "max_position_embeddings": \(entry.length), "rope_theta": \(entry.theta),
             "rms_norm_eps": 1e-5, "tie_word_embeddings": \(entry.ties)}
            """
        return Data(text.utf8)
    }
}

import Foundation
import Testing
import Tokenization

/// The tokenizers with expected results under `Tests/Golden`.
enum GoldenFiles {
    static let names = [
        "llama3_bpe", "gpt2_bpe", "gpt2_prefix_space", "qwen2_bpe", "llama2_json", "llama2_metaspace_json",
        "deepseek_llm_bpe", "deepseek_v3_bpe", "o200k_bpe", "falcon_bpe", "gemma_json", "metaspace_unk_json",
    ]
    /// `gpt2_prefix_space` has no stream of its own.
    static let streamNames = names.filter { $0 != "gpt2_prefix_space" }

    static func folder(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Golden/tokenizers/\(name)").path()
    }

    static func read<Value: Decodable>(_ type: Value.Type, _ name: String, _ file: String) throws -> Value {
        try JSONDecoder().decode(type, from: Data(contentsOf: URL(filePath: "\(folder(name))/\(file)")))
    }

    struct Case: Decodable {
        let text: String
        let ids: [TokenID]
        let ids_with_special: [TokenID]?
        let decoded: String?
        let decoded_skip_special: String?
        let ids_plain: [TokenID]?
        let decoded_plain: String?
    }

    struct Stream: Decodable {
        let ids: [TokenID]
        let chunks: [String]
        let final: String?
        let decoded: String
        let note: String
    }
}

/// Strings as scalars: Swift's own equality takes canonically equivalent strings for equal.
func scalars(_ text: String) -> [UInt32] {
    text.unicodeScalars.map(\.value)
}

import Foundation
import Testing
import Tokenization

/// The tokenizers with expected results under `Tests/Golden`, and in the project's shared collection.
enum GoldenFiles {
    static let names =
        jsonNames + [
            "small_unigram_spm", "small_bpe_spm", "small_unigram_json", "qwen_tiktoken",
        ]
    static let jsonNames = [
        "llama3_bpe", "gpt2_bpe", "gpt2_prefix_space", "qwen2_bpe", "llama2_json", "llama2_metaspace_json",
        "deepseek_llm_bpe", "deepseek_v3_bpe", "o200k_bpe", "falcon_bpe", "gemma_json", "metaspace_unk_json",
    ]
    /// `gpt2_prefix_space` has no stream of its own, and the small tokenizers have none.
    static let streamNames = names.filter { $0 != "gpt2_prefix_space" && !$0.hasPrefix("small_") }

    private static let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    private static let collection = tests.deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "shared/tokenizers").path()
    /// The tokenizers of the shared collection where it lies beside the repository; else none.
    static let sharedNames =
        ((try? FileManager.default.contentsOfDirectory(atPath: collection)) ?? []).sorted().filter {
            FileManager.default.fileExists(atPath: "\(collection)/\($0)/cases.json")
        }

    static func folder(_ name: String) -> String { tests.appending(path: "Golden/tokenizers/\(name)").path() }

    static func sharedFolder(_ name: String) -> String { "\(collection)/\(name)" }

    static func read<Value: Decodable>(_ type: Value.Type, _ folder: String, _ file: String) throws -> Value {
        try JSONDecoder().decode(type, from: Data(contentsOf: URL(filePath: "\(folder)/\(file)")))
    }

    struct Case: Decodable {
        let text: String
        let ids: [TokenID]
        /// The ids of the text's composed form, which QWen takes; only in the shared collection.
        let ids_nfc: [TokenID]?
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

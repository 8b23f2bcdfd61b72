import Foundation
import Tokenization

/// Writes valid and hostile tokenizer files with a few tokens.
enum SmallTokenizer {
    /// Loads a tokenizer from the text of a `tokenizer.json`.
    static func load(_ json: String) throws -> Tokenizer {
        try load(Data(json.utf8))
    }

    static func load(_ json: Data) throws -> Tokenizer {
        let file = FileManager.default.temporaryDirectory.appending(path: "tokenizer-\(UUID().uuidString).json")
        try json.write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        return try Tokenizer(contentsOf: file.path())
    }

    /// A file with these fields; the model knows a, b, c and two merges.
    static func json(
        vocabulary: String = #"{"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "<unk>": 5}"#,
        merges: String = #"["a b", ["ab", "c"]]"#, model: String = "", fields: String = ""
    ) -> String {
        #"{"model": {"type": "BPE", "vocab": \#(vocabulary), "merges": \#(merges)\#(model)}\#(fields)}"#
    }

    /// The ids of an encoded text.
    static func ids(_ text: String, _ json: String, special: Tokenizer.SpecialTokens = .off) throws -> [Int32] {
        try load(json).encode(text, special: special).map(\.rawValue)
    }
}

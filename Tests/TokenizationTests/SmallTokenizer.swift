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

/// Runs `body` with a folder that holds these files and, if `path` is given, a link to the file there.
func withTemporaryFolder<Result>(
    linking path: String? = nil, as name: String? = nil, files: [String: String] = [:],
    _ body: (_ folder: String) throws -> Result
) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "tokenizer-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    if let path {
        let file = URL(filePath: path)
        try FileManager.default.createSymbolicLink(
            at: folder.appending(path: name ?? file.lastPathComponent), withDestinationURL: file)
    }
    for (name, text) in files { try Data(text.utf8).write(to: folder.appending(path: name)) }
    return try body(folder.path())
}

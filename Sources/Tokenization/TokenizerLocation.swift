import FoundationEssentials

/// The paths of a tokenizer's files.
struct TokenizerLocation {
    /// The names of main files, the preferred one first.
    ///
    /// `tokenizer.json` says everything that a tokenizer does; of the others, readers must know parts.
    private static let names = [
        "tokenizer.json", "tokenizer.model", "tokenizer.model.v7", "tokenizer.model.v3", "tokenizer.model.v2",
        "tokenizer.model.v1", "tekken.json", "vocab.json", "spiece.model",
    ]
    /// The endings of main files whose names differ from model to model.
    private static let endings = [".tiktoken", ".model"]

    /// The path of the main file.
    let main: String
    private let folder: String

    /// Takes a folder or the path of the main file itself.
    init(_ path: String) {
        var isFolder = false
        _ = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        let nameStart = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
        folder = isFolder ? path + "/" : String(path[..<nameStart])
        main = isFolder ? Self.main(in: folder) ?? folder + Self.names[0] : path
    }

    /// The path of the main file in a folder, with "/" at the end of the folder's name; nil if there is none.
    static func main(in folder: String) -> String? {
        let exists = { (name: String) in FileManager.default.fileExists(atPath: folder + name) }
        if let name = names.first(where: { exists($0) && ($0 != "vocab.json" || exists("merges.txt")) }) {
            return folder + name
        }
        let found = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
        let name = endings.lazy.compactMap { ending in found.first { $0.hasSuffix(ending) } }.first
        return name.map { folder + $0 }
    }

    /// The name of the main file, without its folder.
    var name: String { String(main[(main.lastIndex(of: "/").map { main.index(after: $0) } ?? main.startIndex)...]) }

    /// The path of another file in the folder.
    func path(of name: String) -> String { folder + name }

    /// Another file in the folder as Python reads it; nil if there is none.
    func companion(_ name: String) throws(TokenizationError) -> FileField? {
        guard FileManager.default.fileExists(atPath: folder + name) else { return nil }
        return try FileField(contentsOf: folder + name, .python)
    }
}

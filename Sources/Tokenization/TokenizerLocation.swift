import FoundationEssentials

/// Where the files of a tokenizer are.
struct TokenizerLocation {
    /// The path of `tokenizer.json`.
    let tokenizer: String
    private let configuration: String

    /// Takes a folder or the path of the file itself.
    init(_ path: String) {
        var isFolder = false
        _ = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        let nameStart = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
        let folder = isFolder ? path + "/" : String(path[..<nameStart])
        tokenizer = isFolder ? folder + "tokenizer.json" : path
        configuration = folder + "tokenizer_config.json"
    }

    /// The spellings that `tokenizer_config.json` gives for the first and last token of a text, if it is there.
    func namedTokens() throws(TokenizationError) -> (beginOfText: [UInt8]?, endOfText: [UInt8]?) {
        guard FileManager.default.fileExists(atPath: configuration) else { return (nil, nil) }
        let file = try FileField(contentsOf: configuration)
        return (try spelling(try file["bos_token"]), try spelling(try file["eos_token"]))
    }

    /// A token is written as its text, or as an object with its text and flags.
    private func spelling(_ field: FileField) throws(TokenizationError) -> [UInt8]? {
        if case .object = field.value { return try field["content"].bytesIfPresent() }
        return try field.bytesIfPresent()
    }
}

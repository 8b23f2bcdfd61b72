import FoundationEssentials

/// The paths of a tokenizer's files.
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

    /// What `tokenizer_config.json` says about the ends of a text, if it is there.
    func textEnds() throws(TokenizationError) -> (begin: TextEnd, end: TextEnd) {
        guard FileManager.default.fileExists(atPath: configuration) else { return (TextEnd(), TextEnd()) }
        let file = try FileField(contentsOf: configuration, .python)
        return (
            try TextEnd(spelling: spelling(file["bos_token"]), switch: file["add_bos_token"]),
            try TextEnd(spelling: spelling(file["eos_token"]), switch: file["add_eos_token"])
        )
    }

    /// Reads a token, which is written as its text, or as an object with its text and flags.
    private func spelling(_ field: FileField) throws(TokenizationError) -> [UInt8]? {
        if case .object = field.value { return try field["content"].bytesIfPresent() }
        return try field.bytesIfPresent()
    }
}

/// One end of a text, as `tokenizer_config.json` describes it.
struct TextEnd {
    /// The spelling of the token that may stand there; nil if none is named.
    var spelling: [UInt8]?
    /// Whether the token is added: `add_bos_token` or `add_eos_token`; nil where the post-processor decides.
    var isAdded: Bool?
    /// The file and the field, for warnings.
    var place = ""

    init() {}

    init(spelling: [UInt8]?, switch field: FileField) throws(TokenizationError) {
        self.spelling = spelling
        isAdded = field.isAbsent ? nil : try field.bool(or: false)
        place = field.place
    }
}

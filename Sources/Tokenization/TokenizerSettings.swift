/// What the files beside a tokenizer's main file say about it.
struct TokenizerSettings {
    /// The class that reads the tokenizer in transformers, such as "LlamaTokenizer".
    private(set) var className: String?
    /// The ends of a text.
    private(set) var begin = TextEnd()
    private(set) var end = TextEnd()
    /// Whether text after a special token gets a space in front as text at the start does.
    private(set) var isLegacy = true
    /// Whether a text gets a space in front; nil if the main file decides.
    private(set) var addsPrefixSpace: Bool?
    /// The tokens that the files name.
    private(set) var tokens: [NamedToken] = []
    private var places: [[UInt8]: Int] = [:]

    /// The fields that name one special token, in the order in which transformers gives them numbers.
    private static let specialNames = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]

    /// Reads `tokenizer_config.json`, and with it, if `withTokens` is true, the files that name tokens.
    init(beside location: TokenizerLocation, withTokens: Bool) throws(TokenizationError) {
        let configuration = try location.companion("tokenizer_config.json")
        if let configuration {
            begin = try TextEnd(spelling: spelling(configuration["bos_token"]), switch: configuration["add_bos_token"])
            end = try TextEnd(spelling: spelling(configuration["eos_token"]), switch: configuration["add_eos_token"])
        }
        guard withTokens else { return }
        className = try configuration?["tokenizer_class"].ifPresent?.string()
        isLegacy = try configuration?["legacy"].bool(or: true) ?? true
        addsPrefixSpace = try configuration?["add_prefix_space"].ifPresent?.bool()
        try readTokens(location, configuration)
    }

    private mutating func readTokens(
        _ location: TokenizerLocation, _ configuration: FileField?
    ) throws(TokenizationError) {
        if let decoder = try configuration?["added_tokens_decoder"].ifPresent {
            for (key, field) in try decoder.members() {
                guard let id = Int(key), id >= 0 else { throw field.malformed("the name of the field is no id") }
                let isSpecial = try field["special"].bool(or: false)
                add(NamedToken(try field["content"].bytes(), id: id, in: field, flags: field, isSpecial: isSpecial))
            }
        }
        for (key, field) in try location.companion("added_tokens.json")?.members() ?? [] {
            let id = try field.integer(in: 0...Vocabulary.maximumID)
            add(NamedToken(Array(key.utf8), id: id, in: field, flags: nil, isSpecial: false))
        }
        for file in [configuration, try location.companion("special_tokens_map.json")] {
            guard let file else { continue }
            var fields: [FileField] = []
            for name in Self.specialNames { fields.append(try file[name]) }
            // Some files have an object here, whose names are the program's own.
            let additional = try file["additional_special_tokens"]
            if additional.value.elements != nil { fields += try additional.elements() }
            for field in fields {
                guard let content = try spelling(field) else { continue }
                let flags: FileField? = if case .object = field.value { field } else { nil }
                add(NamedToken(content, id: nil, in: field, flags: flags))
            }
        }
    }

    /// Keeps a token, unless a file before named it; one that any file calls special is special.
    private mutating func add(_ token: NamedToken) {
        if let known = places[token.content] {
            if token.isSpecial { tokens[known].isSpecial = true }
        } else {
            places[token.content] = tokens.count
            tokens.append(token)
        }
    }

    /// Reads a token, which is written as its text, or as an object with its text and flags.
    private func spelling(_ field: FileField) throws(TokenizationError) -> [UInt8]? {
        if case .object = field.value { return try field["content"].bytesIfPresent() }
        return try field.bytesIfPresent()
    }
}

/// A token that a file beside the vocabulary names.
struct NamedToken {
    let content: [UInt8]
    /// The id that the file gives; nil if it gives none.
    let id: Int?
    /// The object with the token's flags; nil if there is none.
    let flags: FileField?
    var isSpecial: Bool
    /// Whether the name is a plain word, which is not looked for in the text.
    var isPlainWord = false
    private let place: (file: String, field: String)

    /// Takes a token from a field.
    init(_ content: [UInt8], id: Int?, in field: FileField, flags: FileField?, isSpecial: Bool = true) {
        self.content = content
        self.id = id
        self.flags = flags
        self.isSpecial = isSpecial
        place = (field.file, field.name)
    }

    /// Makes a special token that a published tokenizer has and its files do not name; `file` is for messages.
    init(_ name: String, id: Int?, for file: String, isPlainWord: Bool = false) {
        content = Array(name.utf8)
        self.id = id
        flags = nil
        isSpecial = true
        self.isPlainWord = isPlainWord
        place = (file, "special tokens")
    }

    /// The error for a token that cannot be used.
    func malformed(_ reason: String) -> TokenizationError {
        .malformed(path: place.file, field: place.field, reason: reason)
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

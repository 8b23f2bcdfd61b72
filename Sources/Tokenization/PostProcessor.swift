/// The tokens that `encode` puts around a text when special tokens are requested.
struct PostProcessor: Sendable {
    private(set) var before: [TokenID] = []
    private(set) var after: [TokenID] = []

    /// Puts nothing around a text.
    init() {}

    /// Reads a `post_processor` field.
    init(_ field: FileField) throws(TokenizationError) {
        for component in try field.flattened(membersOf: "processors") {
            let type = try component["type"].string()
            switch type {
            // It moves the tokens' offsets in the text, which are not reported here.
            case "ByteLevel": break
            case "TemplateProcessing": try wrap(component)
            case "BertProcessing", "RobertaProcessing":
                before = [try Self.named(component, "cls")] + before
                after.append(try Self.named(component, "sep"))
            default: throw component.unsupported("the post-processor \"\(type)\"")
            }
        }
    }

    /// Puts exactly this token, or none, before every text.
    mutating func begin(with token: TokenID?) { before = token.map { [$0] } ?? [] }

    /// Puts exactly this token, or none, after every text.
    mutating func end(with token: TokenID?) { after = token.map { [$0] } ?? [] }

    /// Puts exactly these tokens before every text.
    mutating func begin(with tokens: [TokenID]) { before = tokens }

    /// Reads a field that holds a token's spelling and its id.
    private static func named(_ field: FileField, _ name: String) throws(TokenizationError) -> TokenID {
        let pair = try field[name]
        let elements = try pair.elements()
        guard elements.count == 2 else { throw pair.malformed("it must be a token and its id") }
        return TokenID(Int32(try elements[1].integer(in: 0...Vocabulary.maximumID)))
    }

    private mutating func wrap(_ field: FileField) throws(TokenizationError) {
        var parts: [[TokenID]] = [[]]
        let single = try field["single"]
        for element in try single.elementsIfPresent() {
            let special = try element["SpecialToken"]
            if special.isAbsent {
                let sequence = try element["Sequence"]["id"].string()
                guard sequence == "A" else { throw element.malformed("the template of one text names \"\(sequence)\"") }
                parts.append([])
            } else {
                let ids = try ids(of: try special["id"].string(), try field["special_tokens"])
                parts[parts.count - 1] += ids
            }
        }
        guard parts.count == 2 else { throw single.malformed("the template must have the text once") }
        before = parts[0] + before
        after += parts[1]
    }

    /// The ids that the template gives, whatever the vocabulary says, as in the reference.
    private func ids(of name: String, _ table: FileField) throws(TokenizationError) -> [TokenID] {
        let list = try table[name]["ids"]
        var ids: [TokenID] = []
        for element in try list.elementsIfPresent() {
            ids.append(TokenID(Int32(try element.integer(in: 0...Vocabulary.maximumID))))
        }
        guard !ids.isEmpty else { throw list.malformed("\"\(name)\" has no ids") }
        return ids
    }
}

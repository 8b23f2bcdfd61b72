import JSON
import Messages

/// Byte-pair encoding: a piece starts as single characters, and neighbours are merged by rank until no rule applies.
///
/// R. Sennrich, B. Haddow, A. Birch, "Neural Machine Translation of Rare Words with Subword Units", 2016.
struct BytePairModel: Sendable {
    private let vocabulary: Vocabulary
    private let merges: MergeTable
    private let unknown: Int32?
    private let fusesUnknown: Bool
    private let ignoresMerges: Bool
    private let prefix: [UInt8]?
    private let suffix: [UInt8]?
    /// The tokens "<0x00>" to "<0xFF>", by byte; nil unless the model falls back to bytes.
    private let byteTokens: [Int32?]?
    /// The tokens of the byte alphabet's characters, by byte; nil unless `spellsBytes`.
    private let symbolsOfBytes: [Int32]?
    /// The token of each whole piece, keyed by the bytes that it stands for.
    private var idsOfBytes = ByteTable()

    /// Whether pieces come as plain bytes instead of characters of `ByteAlphabet`.
    ///
    /// The alphabet has one character for each byte, so leaving out the translation changes no token and saves time.
    let spellsBytes: Bool

    /// Reads a `model` field; `endsInByteCharacters` says that the last pre-tokenizer spells bytes.
    init(_ field: FileField, _ vocabulary: Vocabulary, endsInByteCharacters: Bool) throws(TokenizationError) {
        let dropout = try field["dropout"]
        guard dropout.isAbsent || dropout.value.numberValue == 0 else {
            throw dropout.unsupported("dropping merges at random")
        }
        self.vocabulary = vocabulary
        prefix = try field["continuing_subword_prefix"].bytesIfPresent()
        suffix = try field["end_of_word_suffix"].bytesIfPresent()
        fusesUnknown = try field["fuse_unk"].bool(or: false)
        ignoresMerges = try field["ignore_merges"].bool(or: false)
        let unknownField = try field["unk_token"]
        unknown = try unknownField.bytesIfPresent().map { (name: [UInt8]) throws(TokenizationError) in
            guard let id = vocabulary.id(of: name) else {
                throw unknownField.malformed("\(quoted(name[...])) is not in the vocabulary")
            }
            return id
        }
        byteTokens = try field["byte_fallback"].bool(or: false) ? Self.byteTokens(vocabulary) : nil
        merges = try Self.merges(try field["merges"], vocabulary, prefixCount: prefix?.count ?? 0)

        let symbols = ByteAlphabet.characters.compactMap { vocabulary.id(of: $0) }
        spellsBytes = endsInByteCharacters && prefix == nil && suffix == nil && symbols.count == 256
        symbolsOfBytes = spellsBytes ? symbols : nil
        if spellsBytes && ignoresMerges {
            for (id, spelling) in vocabulary.spellings.enumerated() {
                guard let spelling, let bytes = ByteAlphabet.decode(spelling) else { continue }
                _ = idsOfBytes.insert(Int32(id), for: bytes, 0..<bytes.count)
            }
        }
    }

    private static func byteTokens(_ vocabulary: Vocabulary) -> [Int32?] {
        (0...255).map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            return vocabulary.id(of: Array("<0x\(digits.count < 2 ? "0" : "")\(digits)>".utf8))
        }
    }

    private static func merges(
        _ field: FileField, _ vocabulary: Vocabulary, prefixCount: Int
    ) throws(TokenizationError) -> MergeTable {
        guard let rules = field.value.elements else { throw field.fault(expected: "a list") }
        var merges = MergeTable(minimumCapacity: rules.count)
        for (rank, rule) in rules.enumerated() where !isVersion(rule) {
            guard rank <= Int(Int32.max), let (left, right) = pair(rule) else {
                throw field.malformed("rule \(rank) is not a pair of tokens")
            }
            guard let leftID = vocabulary.id(of: left), let rightID = vocabulary.id(of: right) else {
                let pair = "\(quoted(left)) and \(quoted(right))"
                throw field.malformed("rule \(rank) joins \(pair), which are not both in the vocabulary")
            }
            let joined = left + right.dropFirst(prefixCount)
            guard let result = vocabulary.id(of: joined) else {
                throw field.malformed("rule \(rank) makes \(quoted(joined[...])), not in the vocabulary")
            }
            merges[leftID, rightID] = MergeTable.Merge(rank: UInt32(rank), result: result)
        }
        return merges
    }

    /// Whether this is the first line of a merges file, which some converters took for a rule.
    ///
    /// The reference ignores it wherever it stands.
    private static func isVersion(_ rule: JSONValue) -> Bool {
        rule.stringValue?.utf8.starts(with: "#version".utf8) ?? false
    }

    /// The two tokens of a rule, which older files write as one string with a space, and newer ones as a list of two.
    private static func pair(_ rule: JSONValue) -> ([UInt8], [UInt8])? {
        if let text = rule.stringValue {
            let parts = text.utf8.split(separator: 0x20, omittingEmptySubsequences: false)
            return parts.count == 2 ? (Array(parts[0]), Array(parts[1])) : nil
        }
        guard let parts = rule.elements, parts.count == 2, let left = parts[0].stringValue,
            let right = parts[1].stringValue
        else { return nil }
        return (Array(left.utf8), Array(right.utf8))
    }

    /// Appends the tokens of a piece, the bytes of `text` in `range`.
    func encode(_ text: [UInt8], _ range: Range<Int>, into tokens: inout [TokenID], _ merger: inout BytePairMerger) {
        if merger.recall(text, range, into: &tokens) { return }
        let start = tokens.count
        if ignoresMerges, let whole = spellsBytes ? idsOfBytes.value(of: text, range) : vocabulary.id(of: text, range) {
            tokens.append(TokenID(whole))
        } else {
            merger.clear()
            if let symbolsOfBytes {
                for index in range { merger.append(symbolsOfBytes[Int(text[index])]) }
            } else {
                appendCharacters(of: text, range, to: &merger)
            }
            merger.merge(by: merges, into: &tokens)
        }
        merger.remember(text, range, tokens[start...])
    }

    private func appendCharacters(of text: [UInt8], _ range: Range<Int>, to merger: inout BytePairMerger) {
        var pendingUnknown = false
        var offset = range.lowerBound
        while offset < range.upperBound {
            let end = offset + utf8Length(startingWith: text[offset])
            defer { offset = end }
            let id =
                if prefix == nil && suffix == nil {
                    vocabulary.id(of: text, offset..<end)
                } else {
                    vocabulary.id(of: decorated(text, offset..<end, in: range))
                }
            if let id {
                if pendingUnknown, let unknown { merger.append(unknown) }
                pendingUnknown = false
                merger.append(id)
            } else if let bytes = fallback(decorated(text, offset..<end, in: range)) {
                // A pending unknown token is appended after these, as in the reference.
                for id in bytes { merger.append(id) }
            } else if let unknown {
                if pendingUnknown && !fusesUnknown { merger.append(unknown) }
                pendingUnknown = true
            }
        }
        if pendingUnknown, let unknown { merger.append(unknown) }
    }

    /// The character with the prefix of inner characters and the suffix of last ones.
    private func decorated(_ text: [UInt8], _ character: Range<Int>, in piece: Range<Int>) -> [UInt8] {
        var spelling = Array(text[character])
        if character.lowerBound > piece.lowerBound, let prefix { spelling = prefix + spelling }
        if character.upperBound == piece.upperBound, let suffix { spelling += suffix }
        return spelling
    }

    /// The byte tokens of a character; nil if the model lacks one of them.
    private func fallback(_ bytes: [UInt8]) -> [Int32]? {
        guard let byteTokens else { return nil }
        let ids = bytes.compactMap { byteTokens[Int($0)] }
        return ids.count == bytes.count ? ids : nil
    }
}

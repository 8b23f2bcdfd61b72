import JSON
import Messages

/// Byte-pair encoding: a piece starts as single characters, and neighbours are merged by rank until no rule applies.
///
/// R. Sennrich, B. Haddow, A. Birch, "Neural Machine Translation of Rare Words with Subword Units", 2016.
struct BytePairModel: Sendable {
    private let merges: MergeTable
    /// The tokens of characters; unused where `symbolsOfBytes` is there.
    private let symbols: ByteTable
    /// The tokens of the byte alphabet's characters, by byte; nil unless pieces come as plain bytes.
    private let symbolsOfBytes: [Int32]?
    /// The tokens of whole pieces, which count before the rules; nil if only the rules count.
    private let wholes: ByteTable?
    private let wordCut: WordCut?
    private let unknown: UnknownCharacters
    private let prefix: [UInt8]?
    private let suffix: [UInt8]?
    /// What stands for each symbol that takes part in rules and is no token, from the number of tokens on.
    private let hidden: [Int32: [Int32]]

    /// What becomes of a character without a token.
    struct UnknownCharacters: Sendable {
        /// The tokens "<0x00>" to "<0xFF>", by byte; nil unless the model falls back to bytes.
        var byteTokens: [Int32?]?
        /// The token for a character that has no bytes either; nil if it vanishes.
        var token: Int32?
        /// Whether one such token stands for several characters in a row.
        var isFused = false

        /// The byte tokens of a character; nil if the model lacks one of them.
        func fallback(_ bytes: [UInt8]) -> [Int32]? {
            guard let byteTokens else { return nil }
            let ids = bytes.compactMap { byteTokens[Int($0)] }
            return ids.count == bytes.count ? ids : nil
        }

        /// Whether a character without a token vanishes, so that what stands on either side becomes neighbours.
        var vanishes: Bool { token == nil && !(byteTokens?.allSatisfy { $0 != nil } ?? false) }

        /// The tokens "<0x00>" to "<0xFF>" of a vocabulary, by byte.
        static func byteTokens(_ vocabulary: Vocabulary) -> [Int32?] {
            (0...255).map { byte in
                let digits = String(byte, radix: 16, uppercase: true)
                return vocabulary.id(of: Array("<0x\(digits.count < 2 ? "0" : "")\(digits)>".utf8))
            }
        }
    }

    /// Whether pieces come as plain bytes instead of characters of `ByteAlphabet`.
    ///
    /// The alphabet has one character for each byte, so leaving out the translation changes no token and saves time.
    var spellsBytes: Bool { symbolsOfBytes != nil }

    /// Reads a `model` field; `endsInByteCharacters` says that the last pre-tokenizer spells bytes.
    init(_ field: FileField, _ vocabulary: Vocabulary, endsInByteCharacters: Bool) throws(TokenizationError) {
        let dropout = try field["dropout"]
        guard dropout.isAbsent || dropout.value.numberValue == 0 else {
            throw dropout.unsupported("dropping merges at random")
        }
        prefix = try field["continuing_subword_prefix"].bytesIfPresent()
        suffix = try field["end_of_word_suffix"].bytesIfPresent()
        var unknown = UnknownCharacters()
        unknown.isFused = try field["fuse_unk"].bool(or: false)
        let unknownField = try field["unk_token"]
        if let name = try unknownField.bytesIfPresent() {
            guard let id = vocabulary.id(of: name) else {
                throw unknownField.malformed("\(quoted(name[...])) is not in the vocabulary")
            }
            unknown.token = id
        }
        if try field["byte_fallback"].bool(or: false) {
            unknown.byteTokens = UnknownCharacters.byteTokens(vocabulary)
        }
        self.unknown = unknown
        let rules = try Self.rules(try field["merges"], vocabulary, prefixCount: prefix?.count ?? 0)
        merges = rules.table
        hidden = [:]

        let isPlain = prefix == nil && suffix == nil
        symbolsOfBytes = endsInByteCharacters && isPlain ? Self.symbolsOfBytes(vocabulary) : nil
        symbols = symbolsOfBytes == nil ? vocabulary.ids : ByteTable()
        let ignoresMerges = try field["ignore_merges"].bool(or: false)
        wholes = ignoresMerges ? symbolsOfBytes == nil ? vocabulary.ids : Self.idsOfBytes(vocabulary) : nil
        let isCut =
            symbolsOfBytes == nil && isPlain && !ignoresMerges && !unknown.vanishes
            && vocabulary.id(of: WordCut.space) != nil
        wordCut = isCut ? rules.wordCut : nil
    }

    /// Makes the model of a byte-level vocabulary; nil if a byte has no token.
    ///
    /// - Parameter prefersWholes: whether a piece that is a token is that token, whatever the rules say.
    init?(byteLevel vocabulary: Vocabulary, _ rules: MergeRules, prefersWholes: Bool) {
        guard let symbolsOfBytes = Self.symbolsOfBytes(vocabulary) else { return nil }
        self.symbolsOfBytes = symbolsOfBytes
        merges = rules.table
        symbols = ByteTable()
        wholes = prefersWholes ? Self.idsOfBytes(vocabulary) : nil
        wordCut = nil
        unknown = UnknownCharacters()
        (prefix, suffix, hidden) = (nil, nil, [:])
    }

    /// Makes the model of a sentencepiece file.
    ///
    /// - Parameters:
    ///   - symbols: the pieces that may take part in rules.
    ///   - hidden: what stands for each symbol that is no token.
    init(
        symbols: ByteTable, _ rules: MergeRules, _ unknown: UnknownCharacters, hidden: [Int32: [Int32]]
    ) {
        self.symbols = symbols
        symbolsOfBytes = nil
        merges = rules.table
        wholes = nil
        wordCut = symbols.value(of: WordCut.space) == nil ? nil : rules.wordCut
        self.unknown = unknown
        (prefix, suffix) = (nil, nil)
        self.hidden = hidden
    }

    private static func symbolsOfBytes(_ vocabulary: Vocabulary) -> [Int32]? {
        let symbols = ByteAlphabet.characters.compactMap { vocabulary.id(of: $0) }
        return symbols.count == 256 ? symbols : nil
    }

    /// The tokens by the bytes that they stand for.
    private static func idsOfBytes(_ vocabulary: Vocabulary) -> ByteTable {
        var ids = ByteTable(minimumCapacity: vocabulary.count)
        for id in 0..<Int32(vocabulary.count) {
            guard let spelling = vocabulary.spelling(of: id), let bytes = ByteAlphabet.decode(spelling) else {
                continue
            }
            _ = ids.insert(id, for: bytes, 0..<bytes.count)
        }
        return ids
    }

    private static func rules(
        _ field: FileField, _ vocabulary: Vocabulary, prefixCount: Int
    ) throws(TokenizationError) -> MergeRules {
        guard let list = field.value.elements else { throw field.fault(expected: "a list") }
        var rules = MergeRules(minimumCapacity: list.count)
        for (rank, rule) in list.enumerated() where !isVersion(rule) {
            guard rank <= Int(Int32.max), let (left, right) = pair(rule) else {
                throw field.malformed("rule \(rank) is not a pair of tokens")
            }
            do {
                try rules.add(left, right, rank: rank, vocabulary, prefixCount: prefixCount)
            } catch {
                throw field.malformed(error.reason)
            }
        }
        return rules
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
    func encode(
        _ text: [UInt8], _ range: Range<Int>, into tokens: inout [TokenID], _ merger: inout BytePairMerger,
        _ cache: inout PieceCache
    ) {
        guard let wordCut else { return encodeWord(text, range, into: &tokens, &merger, &cache) }
        var start = range.lowerBound
        while start < range.upperBound {
            let end = wordCut.endOfWord(in: text, start..<range.upperBound)
            encodeWord(text, start..<end, into: &tokens, &merger, &cache)
            start = end
        }
    }

    private func encodeWord(
        _ text: [UInt8], _ range: Range<Int>, into tokens: inout [TokenID], _ merger: inout BytePairMerger,
        _ cache: inout PieceCache
    ) {
        if cache.recall(text, range, into: &tokens) { return }
        let start = tokens.count
        if let whole = wholes?.value(of: text, range) {
            tokens.append(TokenID(whole))
        } else {
            merger.clear()
            if let symbolsOfBytes {
                for index in range { merger.append(symbolsOfBytes[Int(text[index])]) }
            } else {
                appendCharacters(of: text, range, to: &merger)
            }
            merger.merge(by: merges, into: &tokens)
            if !hidden.isEmpty { replaceHidden(in: &tokens, from: start) }
        }
        cache.remember(text, range, tokens[start...])
    }

    private func appendCharacters(of text: [UInt8], _ range: Range<Int>, to merger: inout BytePairMerger) {
        var pendingUnknown = false
        var offset = range.lowerBound
        while offset < range.upperBound {
            let end = offset + utf8Length(startingWith: text[offset])
            defer { offset = end }
            let id =
                if prefix == nil && suffix == nil {
                    symbols.value(of: text, offset..<end)
                } else {
                    symbols.value(of: decorated(text, offset..<end, in: range))
                }
            if let id {
                if pendingUnknown, let token = unknown.token { merger.append(token) }
                pendingUnknown = false
                merger.append(id)
            } else if let bytes = unknown.fallback(decorated(text, offset..<end, in: range)) {
                // A pending unknown token is appended after these, as in the reference.
                for id in bytes { merger.append(id) }
            } else if let token = unknown.token {
                if pendingUnknown && !unknown.isFused { merger.append(token) }
                pendingUnknown = true
            }
        }
        if pendingUnknown, let token = unknown.token { merger.append(token) }
    }

    /// The character with the prefix of inner characters and the suffix of last ones.
    private func decorated(_ text: [UInt8], _ character: Range<Int>, in piece: Range<Int>) -> [UInt8] {
        var spelling = Array(text[character])
        if character.lowerBound > piece.lowerBound, let prefix { spelling = prefix + spelling }
        if character.upperBound == piece.upperBound, let suffix { spelling += suffix }
        return spelling
    }

    private func replaceHidden(in tokens: inout [TokenID], from start: Int) {
        let symbols = tokens[start...].map(\.rawValue)
        guard symbols.contains(where: { hidden[$0] != nil }) else { return }
        tokens.removeSubrange(start...)
        for symbol in symbols {
            for id in hidden[symbol] ?? [symbol] {
                let isRepeated = id == unknown.token && tokens.count > start && tokens.last?.rawValue == id
                if !(isRepeated && unknown.isFused) { tokens.append(TokenID(id)) }
            }
        }
    }
}

import Messages

/// A token that is looked for in the text before the model sees it.
struct AddedToken: Sendable {
    /// When a token is looked for.
    enum Stage: Sendable {
        /// Before normalization.
        case text
        /// After normalization, in its own normalized form.
        case normalizedText
        /// After normalization, as it is spelled: a user-defined piece of sentencepiece.
        case pieces
        /// Never: its name is a plain word, and only a post-processor uses it.
        case never
    }

    /// The token's id: what the file says, until `list` assigns the one that counts.
    private(set) var id: Int32
    let content: [UInt8]
    /// Whether decoding that skips special tokens leaves it out.
    private(set) var isSpecial: Bool
    let stage: Stage
    /// Whether a match includes the white space before it.
    let stripsLeft: Bool
    let stripsRight: Bool
    /// Whether it matches only where no word character stands next to it.
    let isSingleWord: Bool

    /// Reads `added_tokens` and adds them to the vocabulary, each with the id that the reference gives it.
    ///
    /// The reference (`tokenizers`, `AddedVocabulary`) ignores the ids in the file. A token whose spelling is in the
    /// vocabulary gets the id of that spelling; any other gets the next id, counted from the vocabulary's size. If two
    /// tokens get one id, the later one counts. A token is special if any entry with its content is.
    ///
    /// - Parameter warn: called once, with a message, if an id differs from the file's.
    static func list(
        _ field: FileField, into vocabulary: inout Vocabulary, warn: (String) -> Void
    ) throws(TokenizationError) -> [AddedToken] {
        var next = Int32(vocabulary.tokenCount)
        var tokens: [AddedToken] = []
        var places: [Int32: Int] = [:]
        var specialContents: Set<[UInt8]> = []
        var hasWarned = false
        for element in try field.elementsIfPresent() {
            var token = try AddedToken(element)
            if token.content.isEmpty { continue }
            let written = token.id
            if let known = vocabulary.id(of: token.content) {
                token.id = known
            } else {
                guard next < Vocabulary.maximumID else { throw element.malformed("too many tokens") }
                token.id = next
                next += 1
            }
            if written != token.id, !hasWarned {
                hasWarned = true
                warn(
                    "\(element.place): \(quoted(token.content[...])) has the number \(written) there, and gets "
                        + "\(token.id), as the tokenizers library gives it")
            }
            if token.isSpecial { specialContents.insert(token.content) }
            token.isSpecial = specialContents.contains(token.content)
            vocabulary.add(token)
            if let place = places[token.id] {
                tokens[place] = token
            } else {
                places[token.id] = tokens.count
                tokens.append(token)
            }
        }
        return tokens
    }

    /// Gives tokens that are named beside the vocabulary their ids, and adds them to it.
    ///
    /// A token without an id of its own has that of its spelling in the vocabulary, or else the next one.
    static func list(
        _ named: [NamedToken], into vocabulary: inout Vocabulary, _ stage: Stage
    ) throws(TokenizationError) -> [AddedToken] {
        var tokens: [AddedToken] = []
        for name in named where !name.content.isEmpty {
            let id = name.id ?? vocabulary.id(of: name.content).map { Int($0) } ?? vocabulary.count
            guard vocabulary.hasRoom(for: id) else { throw name.malformed("the id \(id) is too high") }
            let token = try AddedToken(name, id: Int32(id), stage)
            vocabulary.add(token)
            tokens.append(token)
        }
        return tokens
    }

    /// Makes a token without flags.
    init(id: Int32, _ content: [UInt8], isSpecial: Bool, _ stage: Stage) {
        self.id = id
        self.content = content
        self.isSpecial = isSpecial
        self.stage = stage
        (stripsLeft, stripsRight, isSingleWord) = (false, false, false)
    }

    private init(_ name: NamedToken, id: Int32, _ stage: Stage) throws(TokenizationError) {
        self.id = id
        self.content = name.content
        self.stage = name.isPlainWord ? .never : stage
        isSpecial = name.isSpecial
        stripsLeft = try name.flags?["lstrip"].bool(or: false) ?? false
        stripsRight = try name.flags?["rstrip"].bool(or: false) ?? false
        isSingleWord = try name.flags?["single_word"].bool(or: false) ?? false
    }

    /// Reads an element of `added_tokens`.
    private init(_ field: FileField) throws(TokenizationError) {
        // Any 32-bit number is accepted, because the id in the file is ignored.
        id = Int32(clamping: try field["id"].integer(in: 0...Int(UInt32.max)))
        content = try field["content"].bytes()
        isSpecial = try field["special"].bool(or: false)
        stage = try field["normalized"].bool(or: !isSpecial) ? .normalizedText : .text
        stripsLeft = try field["lstrip"].bool(or: false)
        stripsRight = try field["rstrip"].bool(or: false)
        isSingleWord = try field["single_word"].bool(or: false)
    }
}

/// Finds added tokens in a text: always the leftmost, and among those that start there the longest.
struct AddedTokenMatcher: Sendable {
    /// A part of the text: an added token, or the text between two.
    struct Segment: Equatable {
        let range: Range<Int>
        let token: Int32?
    }

    private let tokens: [AddedToken]
    private let trie: PieceTrie

    /// Makes a matcher that looks for each token's spelling.
    init(_ entries: [(token: AddedToken, spelling: [UInt8])]) {
        tokens = entries.map(\.token)
        // Of equal spellings the first one's token counts, and in the trie it is the last.
        trie = PieceTrie(entries.enumerated().reversed().map { ($0.element.spelling, Int32($0.offset)) })
    }

    /// Cuts `text` at its added tokens; special ones are matched only if `takesSpecial` is true.
    func segments(of text: [UInt8], takesSpecial: Bool) -> [Segment] {
        var segments: [Segment] = []
        var end = 0
        var offset = 0
        while !trie.isEmpty, offset < text.count {
            guard trie.hasKey(startingWith: text[offset]), let match = trie.longestPrefix(of: text, from: offset) else {
                offset += 1
                continue
            }
            let found = offset..<match.end
            offset = match.end
            let token = tokens[Int(match.value)]
            // A match that does not count is skipped whole, as in the reference.
            if token.isSpecial && !takesSpecial { continue }
            if token.isSingleWord && !Self.isSingleWord(found, in: text) { continue }
            var (start, stop) = (found.lowerBound, found.upperBound)
            if token.stripsLeft { start = max(end, Self.startOfSpace(before: start, in: text)) }
            if token.stripsRight { stop = Self.endOfSpace(after: stop, in: text) }
            if end < start { segments.append(Segment(range: end..<start, token: nil)) }
            segments.append(Segment(range: min(start, stop)..<stop, token: token.id))
            end = stop
        }
        if end < text.count { segments.append(Segment(range: end..<text.count, token: nil)) }
        return segments
    }

    private static func isSingleWord(_ range: Range<Int>, in text: [UInt8]) -> Bool {
        let wordBefore = range.lowerBound > 0 && isWord(scalar(in: text, before: range.lowerBound))
        let wordAfter = range.upperBound < text.count && isWord(scalar(in: text, at: range.upperBound))
        return !wordBefore && !wordAfter
    }

    /// Whether a character is in \w as Rust's regex defines it, which the reference uses here (UTS 18, annex C).
    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        if properties.isAlphabetic || properties.isJoinControl { return true }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }

    private static func startOfSpace(before offset: Int, in text: [UInt8]) -> Int {
        var start = offset
        while start > 0 {
            let scalar = scalar(in: text, before: start)
            guard scalar.properties.isWhitespace else { break }
            start -= UTF8.width(scalar)
        }
        return start
    }

    private static func endOfSpace(after offset: Int, in text: [UInt8]) -> Int {
        var end = offset
        while end < text.count {
            let scalar = scalar(in: text, at: end)
            guard scalar.properties.isWhitespace else { break }
            end += UTF8.width(scalar)
        }
        return end
    }
}

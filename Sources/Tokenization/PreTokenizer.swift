/// A step that cuts a text into pieces, or rewrites the pieces.
enum PreTokenizer: Sendable {
    case split(Splitting)
    /// Puts a space before each piece that does not start with one: `ByteLevel` with `add_prefix_space`.
    case prefixSpace
    /// Spells each byte by its character of `ByteAlphabet`.
    case byteCharacters
    /// Writes spaces as a visible character, and puts one in front.
    case metaspace(Metaspace)

    /// GPT-2's pattern, by which `ByteLevel` splits.
    ///
    /// Source: the GPT-2 release, https://github.com/openai/gpt-2 (`encoder.py`).
    static let gpt2Words = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// Reads the steps of a `pre_tokenizer` field.
    static func list(_ field: FileField) throws(TokenizationError) -> [PreTokenizer] {
        var steps: [PreTokenizer] = []
        for component in try field.flattened(membersOf: "pretokenizers") {
            steps += try self.steps(component)
        }
        return steps
    }

    /// Cuts a text into the matches of a pattern that covers all of it.
    ///
    /// - Parameter path: the file of a tokenizer that uses the pattern, for errors.
    static func words(_ expression: String, path: String) throws(TokenizationError) -> PreTokenizer {
        try words(FileField(.string(expression), file: path))
    }

    /// Cuts a text into the matches of a pattern that covers all of it.
    static func words(_ field: FileField) throws(TokenizationError) -> PreTokenizer {
        .split(Splitting(pattern: try TextPattern(expression: field), behavior: .isolated))
    }

    private static func steps(_ field: FileField) throws(TokenizationError) -> [PreTokenizer] {
        let type = try field["type"].string()
        switch type {
        case "Split":
            let splitting = Splitting(
                pattern: try TextPattern(try field["pattern"]), behavior: try SplitBehavior(try field["behavior"]),
                isInverted: try field["invert"].bool(or: false))
            return [.split(splitting)]
        case "ByteLevel":
            var steps: [PreTokenizer] = []
            if try field["add_prefix_space"].bool(or: true) { steps.append(.prefixSpace) }
            if try field["use_regex"].bool(or: true) { steps.append(try split(gpt2Words, .isolated, field)) }
            return steps + [.byteCharacters]
        case "Metaspace":
            let metaspace = try Metaspace(field)
            let cut = Splitting(pattern: .literal(metaspace.replacement), behavior: .mergedWithNext)
            let splits = try field["split"].bool(or: true)
            return [.metaspace(metaspace)] + (splits ? [.split(cut)] : [])
        case "Digits":
            let isIndividual = try field["individual_digits"].bool(or: false)
            return [try split(#"\p{N}"#, isIndividual ? .isolated : .contiguous, field)]
        case "Punctuation":
            let behavior = try field["behavior"]
            let ascii = #"!-/:-@\x5B-`{-~"#
            return [
                try split(#"[\#(ascii)\p{P}]"#, behavior.isAbsent ? .isolated : try SplitBehavior(behavior), field)
            ]
        case "Whitespace":
            // For this step the reference uses Rust's regex, whose \w includes the joiners.
            let word = #"\w\x{200C}\x{200D}"#
            return [try split(#"[\#(word)]+|[^\#(word)\s]+"#, .removed, field, isInverted: true)]
        case "CharDelimiterSplit":
            let delimiter = try field["delimiter"].bytes()
            guard let first = delimiter.first, utf8Length(startingWith: first) == delimiter.count else {
                throw try field["delimiter"].malformed("must be one character")
            }
            return [.split(Splitting(pattern: .literal(delimiter), behavior: .removed))]
        case "WhitespaceSplit":
            return [try split(#"\s"#, .removed, field)]
        default:
            throw field.unsupported("the pre-tokenizer \"\(type)\"")
        }
    }

    private static func split(
        _ expression: String, _ behavior: SplitBehavior, _ field: FileField, isInverted: Bool = false
    ) throws(TokenizationError) -> PreTokenizer {
        let pattern = try TextPattern(own: expression, for: field)
        return .split(Splitting(pattern: pattern, behavior: behavior, isInverted: isInverted))
    }
}

/// SentencePiece's convention: spaces are a visible character, and a text starts with one.
struct Metaspace: Sendable {
    /// Which pieces get the visible character in front.
    enum Scheme: String {
        case first
        case always
        case never
    }

    let replacement: [UInt8]
    let scheme: Scheme

    /// Reads the fields that the pre-tokenizer and the decoder share.
    init(_ field: FileField) throws(TokenizationError) {
        replacement = try field["replacement"].bytes()
        guard let first = replacement.first, utf8Length(startingWith: first) == replacement.count else {
            throw try field["replacement"].malformed("must be one character")
        }
        let prefix = try field["prepend_scheme"]
        if prefix.isAbsent {
            // Files that are older than the schemes say this with true or false.
            scheme = try field["add_prefix_space"].bool(or: true) ? .always : .never
        } else {
            let name = try prefix.string()
            guard let scheme = Scheme(rawValue: name) else { throw prefix.unsupported("the scheme \"\(name)\"") }
            self.scheme = scheme
        }
    }
}

/// The pieces of a text on its way through the pre-tokenizers, as ranges of one buffer.
struct PieceList {
    private(set) var text: [UInt8] = []
    private(set) var pieces: [Piece] = []
    private var nextText: [UInt8] = []
    private var nextPieces: [Piece] = []
    private var parts: [Splitting.Part] = []

    /// Starts again, with the bytes of `source` in `range` as the only piece.
    mutating func start(_ source: [UInt8], _ range: Range<Int>, opensText: Bool) {
        text.removeAll(keepingCapacity: true)
        text += source[range]
        pieces.removeAll(keepingCapacity: true)
        if !range.isEmpty { pieces.append(Piece(range: 0..<range.count, opensText: opensText)) }
    }

    /// Applies one step to all pieces.
    mutating func apply(_ step: PreTokenizer, _ workspace: PatternWorkspace) throws(TokenizationError) {
        switch step {
        case .split(let splitting):
            nextPieces.removeAll(keepingCapacity: true)
            for piece in pieces {
                try splitting.split(piece, of: text, into: &nextPieces, parts: &parts, workspace)
            }
            swap(&pieces, &nextPieces)
        case .prefixSpace:
            rewrite { text, piece, output in
                if text[piece.range.lowerBound] != 0x20 { output.append(0x20) }
                output += text[piece.range]
            }
        case .byteCharacters:
            rewrite { text, piece, output in ByteAlphabet.spell(text, piece.range, into: &output) }
        case .metaspace(let metaspace):
            rewrite { text, piece, output in
                let start = output.count
                for byte in text[piece.range] {
                    if byte == 0x20 { output += metaspace.replacement } else { output.append(byte) }
                }
                let wantsPrefix =
                    switch metaspace.scheme {
                    case .always: true
                    case .first: piece.opensText
                    case .never: false
                    }
                if wantsPrefix, !output[start...].starts(with: metaspace.replacement) {
                    output.insert(contentsOf: metaspace.replacement, at: start)
                }
            }
        }
    }

    private mutating func rewrite(_ body: ([UInt8], Piece, inout [UInt8]) -> Void) {
        nextText.removeAll(keepingCapacity: true)
        for index in pieces.indices {
            let start = nextText.count
            body(text, pieces[index], &nextText)
            pieces[index].range = start..<nextText.count
        }
        swap(&text, &nextText)
    }
}

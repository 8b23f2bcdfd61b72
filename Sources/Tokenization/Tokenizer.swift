import Synchronization

/// Converts text to tokens and back, as a published tokenizer's files describe.
///
/// A tokenizer is immutable, and any thread may use it.
public final class Tokenizer: Sendable {
    /// How special tokens are treated when text is encoded.
    public enum SpecialTokens: String, CaseIterable, Sendable {
        /// Special tokens named in the text are recognised; none is added.
        case off
        /// As `off`, and the tokens that the model wants around a text are added.
        case on
        /// Names of special tokens in the text are plain text; none is added.
        case plain
    }

    /// The token that starts a text; nil if no file names one that the vocabulary has.
    public let beginOfText: TokenID?
    /// The token that ends a text; nil if no file names one that the vocabulary has.
    public let endOfText: TokenID?

    /// Where loading deviated from what the files say, one line each.
    public let warnings: [String]

    let vocabulary: Vocabulary
    private let specialIDs: Set<Int32>
    private let plainMatcher: AddedTokenMatcher
    private let normalizedMatcher: AddedTokenMatcher
    private let normalizers: [Normalizer]
    private let preTokenizers: [PreTokenizer]
    private let model: PieceModel
    private let postProcessor: PostProcessor
    private let wholeDecoder: PieceDecoder
    private let streamDecoder: PieceDecoder
    private let workspaces = Mutex<[EncodingWorkspace]>([])

    /// Loads a folder that holds a tokenizer's files, or the main one of these files itself.
    ///
    /// Of several main files in a folder, the first of these counts: `tokenizer.json`; `tokenizer.model`, which is a
    /// sentencepiece model or a rank file; `tekken.json`; `vocab.json` with `merges.txt`; other sentencepiece models;
    /// other rank files.
    public init(contentsOf path: String) throws(TokenizationError) {
        let location = TokenizerLocation(path)
        let description = try TokenizerDescription(location)
        normalizers = description.normalizers
        preTokenizers = description.preTokenizers
        model = description.model
        let vocabulary = description.vocabulary
        self.vocabulary = vocabulary
        let added = description.addedTokens
        specialIDs = description.controlIDs.union(added.filter(\.isSpecial).map(\.id))
        var before: [(AddedToken, [UInt8])] = []
        var after: [(AddedToken, [UInt8])] = []
        let workspace = PatternWorkspace()
        for token in added {
            switch token.stage {
            case .text: before.append((token, token.content))
            case .normalizedText:
                after.append((token, try normalizers.normalize(token.content, opensText: false, workspace)))
            case .pieces: after.append((token, token.content))
            case .never: break
            }
        }
        plainMatcher = AddedTokenMatcher(before)
        normalizedMatcher = AddedTokenMatcher(after)
        wholeDecoder = description.wholeDecoder
        streamDecoder = description.streamDecoder

        let settings = try TokenizerSettings(beside: location, withTokens: false)
        let begin = settings.begin.spelling ?? description.beginSpelling
        let end = settings.end.spelling ?? description.endSpelling
        beginOfText = begin.flatMap { vocabulary.id(of: $0) }.map { TokenID($0) }
        endOfText = end.flatMap { vocabulary.id(of: $0) }.map { TokenID($0) }
        // A switch that is set overrides the post-processor. That is what the tokenizers of Llama, Gemma, Cohere and
        // GPT-NeoX did in transformers until version 4, and what llama.cpp does for all.
        var postProcessor = description.postProcessor
        var warnings = description.warnings
        for (end, token) in [(settings.begin, beginOfText), (settings.end, endOfText)]
        where end.isAdded == true && token == nil {
            warnings.append("\(end.place) is true, but no token of the vocabulary is named for it; none is added")
        }
        if let isAdded = settings.begin.isAdded { postProcessor.begin(with: isAdded ? beginOfText : nil) }
        if let isAdded = settings.end.isAdded { postProcessor.end(with: isAdded ? endOfText : nil) }
        self.postProcessor = postProcessor
        self.warnings = warnings
    }

    /// The folder of a tokenizer's files, of which `path` names the folder or the main one.
    public static func folder(of path: String) -> String {
        let folder = TokenizerLocation(path).path(of: "")
        return folder.isEmpty ? "." : String(folder.dropLast())
    }

    /// Whether a folder holds a tokenizer's main file.
    public static func isPresent(in folder: String) -> Bool {
        TokenizerLocation.main(in: folder + "/") != nil
    }

    /// The highest id plus one; not every id below it need be in use.
    public var vocabularySize: Int { vocabulary.count }

    /// The spellings of the special tokens.
    public var specialSpellings: [String] { specialIDs.sorted().compactMap { piece(of: TokenID($0)) } }

    /// Encodes a text.
    ///
    /// - Parameter mark: a character that stands inside names of special tokens which are plain text, and nowhere else;
    ///   it is no part of the text. nil: there is no such name.
    public func encode(
        _ text: String, special: SpecialTokens, breaking mark: Unicode.Scalar? = nil
    ) throws(TokenizationError) -> [TokenID] {
        try encode(validUTF8: Array(text.utf8), special, mark: mark.map { Array(String($0).utf8) })
    }

    /// Encodes a text in UTF-8, such as a file's contents.
    ///
    /// - Throws: `invalidUTF8` for other bytes; `textTooLong`, `matchingFailed`.
    public func encode(utf8 bytes: [UInt8], special: SpecialTokens) throws(TokenizationError) -> [TokenID] {
        if let offset = firstInvalidUTF8(in: bytes) { throw .invalidUTF8(offset: offset) }
        return try encode(validUTF8: bytes, special)
    }

    /// Decodes tokens.
    ///
    /// Ids that no token has are ignored, and so are special tokens if `skippingSpecial` is true. Bytes that are not
    /// UTF-8 become U+FFFD.
    public func decode(_ tokens: [TokenID], skippingSpecial: Bool) -> String {
        var stream = DetokenizerStream(self, wholeDecoder, skippingSpecial: skippingSpecial)
        var text: [UInt8] = []
        for token in tokens { stream.append(token, into: &text) }
        stream.finish(into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Makes a decoder for tokens that arrive one at a time.
    public func makeStream(skippingSpecial: Bool) -> DetokenizerStream {
        DetokenizerStream(self, streamDecoder, skippingSpecial: skippingSpecial)
    }

    /// A token's spelling in the vocabulary; nil for an id that no token has.
    public func piece(of token: TokenID) -> String? {
        vocabulary.spelling(of: token.rawValue).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The token with this spelling in the vocabulary; nil if there is none.
    public func token(named name: String) -> TokenID? {
        vocabulary.id(of: Array(name.utf8)).map { TokenID($0) }
    }

    /// Whether a token is a special one, which steers the model and is not part of the text.
    public func isSpecial(_ token: TokenID) -> Bool {
        specialIDs.contains(token.rawValue)
    }

    private func encode(
        validUTF8 text: [UInt8], _ special: SpecialTokens, mark: [UInt8]? = nil
    ) throws(TokenizationError) -> [TokenID] {
        // Spelling can make a text several times longer, and positions are 32 bits wide.
        let longest = Int(Int32.max) / 16
        guard text.count <= longest else { throw .textTooLong(byteCount: text.count) }
        let workspace = workspaces.withLock { $0.popLast() } ?? EncodingWorkspace()
        defer { workspaces.withLock { $0.append(workspace) } }

        var tokens: [TokenID] = special == .on ? postProcessor.before : []
        let takesSpecial = special != .plain
        for segment in plainMatcher.segments(of: text, takesSpecial: takesSpecial) {
            if let token = segment.token {
                tokens.append(TokenID(token))
                continue
            }
            let isWhole = segment.range.count == text.count
            let opensText = segment.range.lowerBound == 0
            let source = try normalizers.normalize(
                isWhole ? text : Array(text[segment.range]), opensText: opensText, workspace.patterns)
            // A damaged file may replace a character by a long text.
            guard source.count <= 4 * longest else { throw .textTooLong(byteCount: source.count) }
            for inner in normalizedMatcher.segments(of: source, takesSpecial: takesSpecial) {
                // The marks have done their work.
                if inner.token == nil, let mark, let plain = source[inner.range].removing(mark) {
                    let whole = AddedTokenMatcher.Segment(range: 0..<plain.count, token: nil)
                    try encode(whole, of: plain, opensText && inner.range.lowerBound == 0, into: &tokens, workspace)
                } else {
                    try encode(inner, of: source, opensText, into: &tokens, workspace)
                }
            }
        }
        if special == .on { tokens += postProcessor.after }
        return tokens
    }

    private func encode(
        _ segment: AddedTokenMatcher.Segment, of text: [UInt8], _ opensText: Bool, into tokens: inout [TokenID],
        _ workspace: EncodingWorkspace
    ) throws(TokenizationError) {
        if let token = segment.token {
            tokens.append(TokenID(token))
            return
        }
        workspace.pieces.start(text, segment.range, opensText: opensText && segment.range.lowerBound == 0)
        for step in preTokenizers { try workspace.pieces.apply(step, workspace.patterns) }
        for piece in workspace.pieces.pieces {
            switch model {
            case .bytePair(let model):
                model.encode(workspace.pieces.text, piece.range, into: &tokens, &workspace.merger, &workspace.cache)
            case .unigram(let model):
                model.encode(workspace.pieces.text, piece.range, into: &tokens, &workspace.lattice, &workspace.cache)
            }
        }
    }
}

extension ArraySlice<UInt8> {
    /// The bytes without every occurrence of a mark; nil if there is none.
    fileprivate func removing(_ mark: [UInt8]) -> [UInt8]? {
        var rest: [UInt8] = []
        var index = startIndex
        while index < endIndex {
            if self[index] == mark[0], self[index...].starts(with: mark) {
                index += mark.count
            } else {
                rest.append(self[index])
                index += 1
            }
        }
        return rest.count == count ? nil : rest
    }
}

/// The memory that one encoding writes to.
///
/// `@unchecked Sendable`: `Tokenizer` takes it out of its pool for one call, so no two threads have it at once.
private final class EncodingWorkspace: @unchecked Sendable {
    let patterns = PatternWorkspace()
    var pieces = PieceList()
    var cache = PieceCache()
    var merger = BytePairMerger()
    var lattice = UnigramLattice()
}

import Messages

/// The contents of a sentencepiece model: a message in the wire format of protocol buffers.
///
/// Fields that decide nothing when a text is encoded or decoded, such as those for training, are passed over.
///
/// Source: https://github.com/google/sentencepiece, `src/sentencepiece_model.proto`, where the fields have these numbers.
struct SentencePieceFile {
    /// What a piece is for.
    enum Kind: UInt64 {
        case normal = 1
        case unknown
        case control
        case userDefined
        case unused
        case byte
    }

    /// A piece; its place in the file is its id.
    struct Piece {
        var spelling: [UInt8] = []
        var score: Float = 0
        var kind = Kind.normal
    }

    /// How pieces are found.
    enum Algorithm: UInt64 {
        case unigram = 1
        case bytePair
        case word
        case character
    }

    let path: String
    private(set) var pieces: [Piece] = []
    private(set) var algorithm = Algorithm.unigram
    private(set) var fallsBackToBytes = false
    private(set) var isSpaceSuffix = false
    private(set) var unknownSurface: [UInt8] = Array(" \u{2047} ".utf8)
    private(set) var beginSpelling: [UInt8] = Array("<s>".utf8)
    private(set) var endSpelling: [UInt8] = Array("</s>".utf8)
    private(set) var replacements: [UInt8] = []
    private(set) var addsSpace = true
    private(set) var removesExtraSpaces = true
    private(set) var escapesSpaces = true
    private(set) var hasDenormalizer = false

    private let bytes: [UInt8]

    /// Reads a file's contents.
    init(_ bytes: [UInt8], path: String) throws(TokenizationError) {
        self.bytes = bytes
        self.path = path
        guard !bytes.isEmpty else { throw malformed("the file", "it is empty") }
        try forEachField(of: 0..<bytes.count, "the file") { (file, number, value) throws(TokenizationError) in
            switch (number, value) {
            case (1, .bytes(let range)): try file.readPiece(range)
            case (2, .bytes(let range)): try file.readTrainerSpecification(range)
            case (3, .bytes(let range)): try file.readNormalizerSpecification(range)
            case (5, .bytes(let range)):
                try file.forEachField(of: range, "denormalizer_spec") { (file, number, value) in
                    if case (2, .bytes(let range)) = (number, value), !range.isEmpty { file.hasDenormalizer = true }
                }
            default: break
            }
        }
    }

    /// The error for a field that does not say what it should.
    func malformed(_ field: String, _ reason: String) -> TokenizationError {
        .malformed(path: path, field: field, reason: reason)
    }

    private mutating func forEachField(
        of range: Range<Int>, _ name: String,
        _ body: (inout SentencePieceFile, Int, ProtobufMessage.Value) throws(TokenizationError) -> Void
    ) throws(TokenizationError) {
        var message = ProtobufMessage(bytes, range)
        while true {
            let field: (number: Int, value: ProtobufMessage.Value)?
            do {
                field = try message.next()
            } catch {
                throw malformed(name, "it is not a sentencepiece model at byte \(error.offset): \(error.reason)")
            }
            guard let field else { return }
            try body(&self, field.number, field.value)
        }
    }

    private mutating func readPiece(_ range: Range<Int>) throws(TokenizationError) {
        let name = "pieces[\(pieces.count)]"
        guard pieces.count < Vocabulary.maximumID else { throw malformed(name, "too many pieces") }
        var piece = Piece()
        try forEachField(of: range, name) { (file, number, value) throws(TokenizationError) in
            switch (number, value) {
            case (1, .bytes(let range)): piece.spelling = Array(file.bytes[range])
            case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
            case (3, .number(let number)):
                guard let kind = Kind(rawValue: number) else {
                    throw .unsupported(path: file.path, field: name + ".type", what: "the type \(number)")
                }
                piece.kind = kind
            default: break
            }
        }
        guard !piece.spelling.isEmpty, firstInvalidUTF8(in: piece.spelling) == nil else {
            throw malformed(name + ".piece", "it is not a text in UTF-8")
        }
        guard piece.score.isFinite else { throw malformed(name + ".score", "it is not a number") }
        pieces.append(piece)
    }

    private mutating func readTrainerSpecification(_ range: Range<Int>) throws(TokenizationError) {
        try forEachField(of: range, "trainer_spec") { (file, number, value) throws(TokenizationError) in
            switch (number, value) {
            case (3, .number(let number)):
                guard let algorithm = Algorithm(rawValue: number) else {
                    throw .unsupported(
                        path: file.path, field: "trainer_spec.model_type", what: "the model type \(number)")
                }
                file.algorithm = algorithm
            case (24, .number(let number)): file.isSpaceSuffix = number != 0
            case (35, .number(let number)): file.fallsBackToBytes = number != 0
            case (44, .bytes(let range)): file.unknownSurface = try file.text(range, "trainer_spec.unk_surface")
            case (46, .bytes(let range)): file.beginSpelling = try file.text(range, "trainer_spec.bos_piece")
            case (47, .bytes(let range)): file.endSpelling = try file.text(range, "trainer_spec.eos_piece")
            default: break
            }
        }
    }

    private mutating func readNormalizerSpecification(_ range: Range<Int>) throws(TokenizationError) {
        try forEachField(of: range, "normalizer_spec") { (file, number, value) throws(TokenizationError) in
            switch (number, value) {
            case (2, .bytes(let range)): file.replacements = Array(file.bytes[range])
            case (3, .number(let number)): file.addsSpace = number != 0
            case (4, .number(let number)): file.removesExtraSpaces = number != 0
            case (5, .number(let number)): file.escapesSpaces = number != 0
            default: break
            }
        }
    }

    private func text(_ range: Range<Int>, _ name: String) throws(TokenizationError) -> [UInt8] {
        let text = Array(bytes[range])
        guard firstInvalidUTF8(in: text) == nil else { throw malformed(name, "it is not a text in UTF-8") }
        return text
    }
}

extension SentencePieceFile {
    /// The pieces that are looked for in the text, with their ids.
    private var searched: [(key: [UInt8], value: Int32)] {
        pieces.enumerated().filter { [.normal, .userDefined, .unused].contains($0.element.kind) }
            .map { ($0.element.spelling, Int32($0.offset)) }
    }

    /// The id of the unknown piece.
    fileprivate func unknown() throws(TokenizationError) -> Int32 {
        let found = pieces.indices.filter { pieces[$0].kind == .unknown }
        guard found.count == 1 else {
            throw malformed("pieces", "\(found.count) pieces are of the type UNKNOWN, not 1")
        }
        return Int32(found[0])
    }

    /// The pieces that spell bytes, by byte; nil if the model does not fall back to bytes.
    private func byteTokens(_ vocabulary: Vocabulary) throws(TokenizationError) -> [Int32?]? {
        let count = pieces.count { $0.kind == .byte }
        guard fallsBackToBytes else {
            guard count == 0 else {
                throw malformed("trainer_spec.byte_fallback", "it is false, but there are pieces of the type BYTE")
            }
            return nil
        }
        let tokens = BytePairModel.UnknownCharacters.byteTokens(vocabulary)
        guard count == 256, tokens.allSatisfy({ $0.map { pieces[Int($0)].kind == .byte } ?? false }) else {
            throw malformed("pieces", "\(count) pieces are of the type BYTE, and not each of the 256 bytes has one")
        }
        return tokens
    }

    fileprivate func model(_ vocabulary: Vocabulary) throws(TokenizationError) -> PieceModel {
        let byteTokens = try byteTokens(vocabulary)
        switch algorithm {
        case .bytePair:
            return .bytePair(try bytePairModel(vocabulary, byteTokens))
        case .unigram:
            return .unigram(try unigramModel(byteTokens))
        case .word, .character:
            throw .unsupported(
                path: path, field: "trainer_spec.model_type", what: "a model of whole words or single characters")
        }
    }

    /// Neighbours are joined whenever together they are a piece, the one of the highest score first.
    ///
    /// Source: `src/bpe_model.cc`.
    private func bytePairModel(
        _ vocabulary: Vocabulary, _ byteTokens: [Int32?]?
    ) throws(TokenizationError) -> BytePairModel {
        let searched = searched
        var symbols = ByteTable(minimumCapacity: searched.count)
        for (spelling, id) in searched { _ = symbols.insert(id, for: spelling, 0..<spelling.count) }
        let unknownID = try self.unknown()
        let unknown = BytePairModel.UnknownCharacters(byteTokens: byteTokens, token: unknownID, isFused: true)
        // A character without a piece still takes part in the joining if a longer piece has it.
        var hidden: [Int32: [Int32]] = [:]
        for (spelling, _) in searched {
            var offset = 0
            while offset < spelling.count {
                let end = offset + utf8Length(startingWith: spelling[offset])
                let id = Int32(pieces.count + hidden.count)
                if symbols.value(of: spelling, offset..<end) == nil {
                    _ = symbols.insert(id, for: spelling, offset..<end)
                    hidden[id] = unknown.fallback(Array(spelling[offset..<end])) ?? [unknownID]
                }
                offset = end
            }
        }
        // Pieces of one score have one rank, and then the leftmost counts.
        let scores = Set(searched.map { pieces[Int($0.value)].score }).sorted(by: >)
        let ranks = Dictionary(uniqueKeysWithValues: scores.enumerated().map { ($0.element, $0.offset) })
        var rules = MergeRules(minimumCapacity: searched.count)
        for (spelling, id) in searched {
            let rank = ranks[pieces[Int(id)].score] ?? 0
            let isMade = rules.addAll(making: id, spelled: spelling, rank: rank, symbols)
            // Sentencepiece takes such a piece apart again, in the way in which it was joined last.
            guard !isMade || pieces[Int(id)].kind != .unused else {
                throw .unsupported(path: path, field: "pieces[\(id)].type", what: "a joined piece of the type UNUSED")
            }
        }
        return BytePairModel(symbols: symbols, rules, unknown, hidden: hidden)
    }

    /// Sentencepiece 0.2.3 gives a user-defined piece a tenth for each byte after the first, so that it is always better
    /// than any other way through its text; up to 0.2.1 it was the highest score times the bytes, less a tenth.
    ///
    /// Source: `src/unigram_model.cc` (`EncodeOptimized`), and comparison with 0.2.3 for the numbers.
    private func unigramModel(_ byteTokens: [Int32?]?) throws(TokenizationError) -> UnigramModel {
        let scores = pieces.map { piece in
            piece.kind == .userDefined
                ? Double(Float(0.1 * Double(piece.spelling.count) - 0.1)) : Double(piece.score)
        }
        let lowest = pieces.filter { $0.kind == .normal }.map(\.score).min() ?? 0
        return UnigramModel(
            pieces: searched.filter { pieces[Int($0.value)].kind != .unused }, scores: scores,
            lowestScore: lowest, unknown: try unknown(), byteTokens: byteTokens)
    }
}

extension TokenizerDescription {
    /// Takes a sentencepiece model, and what the files beside it say of special tokens.
    init(sentencePiece bytes: [UInt8], _ location: TokenizerLocation) throws(TokenizationError) {
        let file = try SentencePieceFile(bytes, path: location.main)
        guard !file.hasDenormalizer else {
            throw .unsupported(path: location.main, field: "denormalizer_spec", what: "a table for decoding")
        }
        let vocabulary: Vocabulary
        do {
            vocabulary = try Vocabulary(file.pieces.enumerated().map { ($0.element.spelling, $0.offset) })
        } catch {
            throw file.malformed("pieces", error.reason)
        }
        let unknown = try file.unknown()
        let model = try file.model(vocabulary)
        let settings = try TokenizerSettings(beside: location, withTokens: true)
        let convention = try SentencePieceConvention(settings.className, path: location.main)

        self.init(vocabulary, model, decoder: PieceDecoder([]))
        var named = settings.tokens
        for (index, name) in convention.appended.enumerated() where !named.contains(where: { $0.content == name.bytes })
        {
            named.append(
                NamedToken(
                    name.text, id: file.pieces.count + index, for: location.main, isPlainWord: name.isPlainWord))
        }
        addedTokens = try AddedToken.list(named, into: &self.vocabulary, .text)
        var rules = SentencePieceDecoding.Rules()
        rules.literals = Set(addedTokens.map(\.content))

        var kept: [(key: [UInt8], value: Int32)] = []
        for (id, piece) in file.pieces.enumerated() {
            switch piece.kind {
            case .control:
                controlIDs.insert(Int32(id))
                rules.controls.insert(piece.spelling)
            case .userDefined:
                kept.append((piece.spelling, Int32(id)))
            case .normal, .unknown, .unused, .byte: break
            }
        }
        if case .bytePair = model {
            addedTokens += kept.map { AddedToken(id: $0.value, $0.key, isSpecial: false, .pieces) }
        }
        var normalizer = SentencePieceNormalizer()
        normalizer.kept = PieceTrie(kept)
        normalizer.isSuffix = file.isSpaceSuffix
        normalizer.removesExtraSpaces = file.removesExtraSpaces
        normalizer.escapesSpaces = file.escapesSpaces
        normalizer.addedSpace = file.addsSpace ? settings.spaceScheme : .never
        if !file.replacements.isEmpty {
            do {
                normalizer.map = try CharacterMap(file.replacements)
            } catch {
                throw file.malformed("normalizer_spec.precompiled_charsmap", error.reason)
            }
        }
        normalizers = [.sentencePiece(normalizer)]

        rules.unknown = file.pieces[Int(unknown)].spelling
        rules.unknownSurface = file.unknownSurface
        rules.hasBytes = file.fallsBackToBytes
        rules.dropsFirstSpace = file.addsSpace
        rules.dropsAllSpaces = file.removesExtraSpaces
        wholeDecoder = PieceDecoder([SentencePieceDecoding(rules)])
        streamDecoder = wholeDecoder

        let control = { (spelling: [UInt8]) in
            vocabulary.id(of: spelling).map { file.pieces[Int($0)].kind == .control } ?? false
        }
        if control(file.beginSpelling) { beginSpelling = file.beginSpelling }
        if control(file.endSpelling) { endSpelling = file.endSpelling }
        if !convention.opening.isEmpty {
            postProcessor.begin(with: try ids(of: convention.opening, location.main))
        } else if convention.addsBegin, let begin = settings.begin.spelling ?? beginSpelling {
            postProcessor.begin(with: self.vocabulary.id(of: begin).map { TokenID($0) })
        }
        if convention.addsEnd, let end = settings.end.spelling ?? endSpelling {
            postProcessor.end(with: self.vocabulary.id(of: end).map { TokenID($0) })
        }
    }
}

extension TokenizerSettings {
    /// Which texts get a space in front, where the model adds one.
    fileprivate var spaceScheme: Metaspace.Scheme {
        if isLegacy { return .always }
        return addsPrefixSpace ?? true ? .first : .never
    }
}

/// What classes of transformers do with a sentencepiece model that no file says.
private struct SentencePieceConvention {
    /// A special token after the pieces.
    struct Name {
        let text: String
        /// Whether the name is a plain word, which is not looked for in texts.
        let isPlainWord: Bool
        var bytes: [UInt8] { Array(text.utf8) }
    }

    /// The special tokens after the pieces.
    var appended: [Name] = []
    /// The tokens that open every text; if empty, `addsBegin` counts.
    var opening: [String] = []
    var addsBegin = true
    var addsEnd = false

    /// Classes that give the pieces other ids than the file does.
    private static let renumbering = [
        "XLMRobertaTokenizer", "MBartTokenizer", "MBart50Tokenizer", "NllbTokenizer", "XGLMTokenizer",
        "CamembertTokenizer", "BarthezTokenizer", "PegasusTokenizer",
    ]

    init(_ className: String?, path: String) throws(TokenizationError) {
        guard !path.hasSuffix("ice_text.model") else {
            throw .unsupported(path: path, field: "the file", what: "the tokenizer of the first ChatGLM")
        }
        switch className {
        case "ChatGLMTokenizer":
            // Source: https://huggingface.co/zai-org/chatglm3-6b, tokenization_chatglm.py. ChatGLM2 has the first five.
            appended = [
                "[MASK]", "[gMASK]", "[sMASK]", "sop", "eop", "<|system|>", "<|user|>", "<|assistant|>",
                "<|observation|>",
            ].map { Name(text: $0, isPlainWord: $0 == "sop" || $0 == "eop") }
            opening = ["[gMASK]", "sop"]
        case "T5Tokenizer":
            (addsBegin, addsEnd) = (false, true)
        case let name? where Self.renumbering.contains(name):
            throw .unsupported(path: path, field: "tokenizer_class", what: "the class \(quoted(name))")
        default: break
        }
    }
}

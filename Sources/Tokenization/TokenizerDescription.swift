/// What a tokenizer does, whatever kind of file says so.
struct TokenizerDescription {
    var vocabulary: Vocabulary
    var model: PieceModel
    var normalizers: [Normalizer] = []
    var preTokenizers: [PreTokenizer] = []
    /// The tokens that are looked for in the text; they are in the vocabulary too.
    var addedTokens: [AddedToken] = []
    /// Special tokens besides the added ones.
    var controlIDs: Set<Int32> = []
    var postProcessor = PostProcessor()
    /// The steps from pieces to text; `DecodingStep` says how the two differ.
    var wholeDecoder: PieceDecoder
    var streamDecoder: PieceDecoder
    /// The spellings of the tokens at the ends of a text, for where `tokenizer_config.json` names none.
    var beginSpelling: [UInt8]?
    var endSpelling: [UInt8]?
    /// Where loading deviated from what the files say, one line each.
    var warnings: [String] = []

    /// Describes a model with its vocabulary and decoder, and nothing else.
    init(_ vocabulary: Vocabulary, _ model: PieceModel, decoder: PieceDecoder) {
        self.vocabulary = vocabulary
        self.model = model
        wholeDecoder = decoder
        streamDecoder = decoder
    }

    /// Reads the file at a location, whose kind its contents tell.
    ///
    /// - Throws: `missingFile` and `unreadableFile`; `malformedJSON`, `malformed` and `unsupported` for its contents.
    init(_ location: TokenizerLocation) throws(TokenizationError) {
        let bytes = try readFile(location.main)
        let isJSON = location.main.hasSuffix(".json") || bytes.first { !isSpace($0) } == UInt8(ascii: "{")
        if isJSON {
            let file = try FileField(bytes, path: location.main)
            if file.value["model"] == nil, file.value["vocab"]?.elements != nil {
                try self.init(tekken: file, beside: location)
            } else if file.value["model"] == nil, location.name == "vocab.json" {
                try self.init(vocabulary: file, beside: location)
            } else {
                try self.init(tokenizerFile: file)
            }
        } else if RankFile.isRankFile(bytes) {
            try self.init(ranks: bytes, location)
        } else {
            try self.init(sentencePiece: bytes, location)
        }
    }
}

private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

extension TokenizerDescription {
    /// Takes what a `tokenizer.json` file says.
    ///
    /// "truncation" and "padding" are ignored, as in transformers: no prompt is cut without the caller's knowledge.
    init(tokenizerFile file: FileField) throws(TokenizationError) {
        let normalizers = try Normalizer.list(try file["normalizer"])
        var preTokenizers = try PreTokenizer.list(try file["pre_tokenizer"])
        var endsInByteCharacters = false
        if case .byteCharacters = preTokenizers.last { endsInByteCharacters = true }

        let modelField = try file["model"]
        // Older files leave the type out and mean BPE.
        let type = try modelField["type"].isAbsent ? "BPE" : try modelField["type"].string()
        let decoder = try file["decoder"]
        let whole = try PieceDecoder(decoder, showsRunsEarly: false)
        switch type {
        case "BPE":
            let vocabulary = try Vocabulary(try modelField["vocab"])
            let model = try BytePairModel(modelField, vocabulary, endsInByteCharacters: endsInByteCharacters)
            if model.spellsBytes { preTokenizers.removeLast() }
            self.init(vocabulary, .bytePair(model), decoder: whole)
        case "Unigram":
            let (vocabulary, model) = try UnigramModel.read(modelField)
            self.init(vocabulary, .unigram(model), decoder: whole)
        default:
            throw modelField.unsupported("the model \"\(type)\"")
        }
        streamDecoder = try PieceDecoder(decoder, showsRunsEarly: true)
        self.normalizers = normalizers
        self.preTokenizers = preTokenizers
        var warnings: [String] = []
        addedTokens = try AddedToken.list(try file["added_tokens"], into: &vocabulary) { warnings.append($0) }
        self.warnings = warnings
        postProcessor = try PostProcessor(try file["post_processor"])
    }
}

/// How pieces become tokens.
enum PieceModel: Sendable {
    case bytePair(BytePairModel)
    case unigram(UnigramModel)
}

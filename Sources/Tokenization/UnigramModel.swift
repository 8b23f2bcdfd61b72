/// A unigram language model: of all ways to cut a piece into tokens, the one whose scores have the highest sum counts.
///
/// T. Kudo, "Subword Regularization: Improving Neural Network Translation Models with Multiple Subword Candidates",
/// 2018.
struct UnigramModel: Sendable {
    /// What a character without a token costs, below the lowest score.
    private static let penalty = 10.0

    private let trie: PieceTrie
    private let ids: ByteTable
    private let scores: [Double]
    private let unknown: Int32
    private let unknownScore: Double
    private let byteTokens: [Int32?]?
    /// Whether sums are rounded to single precision, as sentencepiece's are; the `tokenizers` library's are not.
    ///
    /// In long texts the rounding decides between ways whose sums are nearly equal.
    private let isSingle: Bool

    /// Makes the model of a `tokenizer.json` file, in which every token is looked for in the text.
    ///
    /// - Parameter scores: the logarithm of each token's probability, by id.
    private init(_ vocabulary: Vocabulary, scores: [Double], unknown: Int32, _ fallsBackToBytes: Bool) {
        self.scores = scores
        self.unknown = unknown
        ids = vocabulary.ids
        // Of equal spellings the last one counts, as in the trie.
        trie = PieceTrie(scores.indices.map { (vocabulary.spelling(of: Int32($0)) ?? [], Int32($0)) })
        unknownScore = (scores.min() ?? 0) - Self.penalty
        byteTokens = fallsBackToBytes ? BytePairModel.UnknownCharacters.byteTokens(vocabulary) : nil
        isSingle = false
    }

    /// Makes the model of a sentencepiece file.
    ///
    /// - Parameters:
    ///   - pieces: the pieces that are looked for in the text, with their ids.
    ///   - scores: the score of each piece, by id.
    ///   - lowestScore: the lowest score of a normal piece.
    init(
        pieces: [(key: [UInt8], value: Int32)], scores: [Double], lowestScore: Float, unknown: Int32,
        byteTokens: [Int32?]?
    ) {
        trie = PieceTrie(pieces)
        ids = ByteTable()
        self.scores = scores
        self.unknown = unknown
        unknownScore = Double(lowestScore - Float(Self.penalty))
        self.byteTokens = byteTokens
        isSingle = true
    }

    /// Reads a `model` field of a `tokenizer.json` file, whose vocabulary is a list of spellings and scores.
    static func read(_ field: FileField) throws(TokenizationError) -> (Vocabulary, UnigramModel) {
        let list = try field["vocab"]
        guard let entries = list.value.elements else { throw list.fault(expected: "a list") }
        guard entries.count <= Vocabulary.maximumID else { throw list.malformed("too many tokens") }
        var spellings: [[UInt8]] = []
        var scores: [Double] = []
        for (id, entry) in entries.enumerated() {
            guard let pair = entry.elements, pair.count == 2, let spelling = pair[0].stringValue,
                let score = pair[1].numberValue, score.isFinite
            else { throw list.malformed("entry \(id) is not a token and its score") }
            spellings.append(Array(spelling.utf8))
            scores.append(score)
        }
        let vocabulary = Vocabulary(spellings: spellings)
        guard !entries.isEmpty else { throw list.malformed("it is empty") }
        let unknown = Int32(try field["unk_id"].integer(in: 0...entries.count - 1))
        let fallsBackToBytes = try field["byte_fallback"].bool(or: false)
        return (vocabulary, UnigramModel(vocabulary, scores: scores, unknown: unknown, fallsBackToBytes))
    }

    /// Appends the tokens of a piece, the bytes of `text` in `range`.
    func encode(
        _ text: [UInt8], _ range: Range<Int>, into tokens: inout [TokenID], _ lattice: inout UnigramLattice,
        _ cache: inout PieceCache
    ) {
        if cache.recall(text, range, into: &tokens) { return }
        let start = tokens.count
        lattice.start(byteCount: range.count)
        text.withUnsafeBufferPointer { findBestPaths(through: $0, range, &lattice) }
        lattice.traceBack()
        var unknownStart: Int?
        for step in lattice.path {
            let position = range.lowerBound + step.start
            if step.token == unknown {
                if unknownStart == nil { unknownStart = position }
            } else {
                if let unknownStart { appendUnknown(text, unknownStart..<position, to: &tokens) }
                unknownStart = nil
                tokens.append(TokenID(step.token))
            }
        }
        if let unknownStart { appendUnknown(text, unknownStart..<range.upperBound, to: &tokens) }
        cache.remember(text, range, tokens[start...])
    }

    private func findBestPaths(
        through text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ lattice: inout UnigramLattice
    ) {
        var start = range.lowerBound
        while start < range.upperBound {
            let from = start - range.lowerBound
            let sum = lattice.sum(at: from)
            let next = min(start + utf8Length(startingWith: text[start]), range.upperBound)
            var coversCharacter = false
            trie.forEachPrefix(of: text, start..<range.upperBound) { end, token in
                lattice.offer(rounded(sum + scores[Int(token)]), token, from..<end - range.lowerBound)
                if end == next { coversCharacter = true }
            }
            if !coversCharacter {
                lattice.offer(rounded(sum + unknownScore), unknown, from..<next - range.lowerBound)
            }
            start = next
        }
    }

    private func rounded(_ sum: Double) -> Double { isSingle ? Double(Float(sum)) : sum }

    /// Appends what stands for a run of characters without tokens.
    private func appendUnknown(_ text: [UInt8], _ range: Range<Int>, to tokens: inout [TokenID]) {
        if let known = ids.value(of: text, range) {
            tokens.append(TokenID(known))
            return
        }
        if let byteTokens {
            let ids = text[range].compactMap { byteTokens[Int($0)] }
            if ids.count == range.count {
                for id in ids { tokens.append(TokenID(id)) }
                return
            }
        }
        tokens.append(TokenID(unknown))
    }
}

/// The best way to reach each place of a piece.
struct UnigramLattice {
    /// One token of the best way.
    struct Step {
        /// Where the token starts, in bytes from the start of the piece.
        let start: Int
        let token: Int32
    }

    private struct Place {
        var sum = 0.0
        var token: Int32 = 0
        /// Where the last token starts; -1 if no way leads here.
        var start: Int32 = -1
    }

    private var places: [Place] = []
    /// The tokens of the best way to the end.
    private(set) var path: [Step] = []

    /// Forgets the last piece, and makes room for one of this many bytes.
    mutating func start(byteCount: Int) {
        places.removeAll(keepingCapacity: true)
        for _ in 0...byteCount { places.append(Place()) }
    }

    /// The sum of the best way to a place.
    func sum(at place: Int) -> Double { places[place].sum }

    /// Takes a way through a token if its sum is higher than the best one so far.
    @inline(__always)
    mutating func offer(_ sum: Double, _ token: Int32, _ range: Range<Int>) {
        let place = places[range.upperBound]
        guard place.start < 0 || sum > place.sum else { return }
        places[range.upperBound] = Place(sum: sum, token: token, start: Int32(range.lowerBound))
    }

    /// Finds the tokens of the best way to the end.
    mutating func traceBack() {
        path.removeAll(keepingCapacity: true)
        var end = places.count - 1
        while end > 0 {
            // Each character is covered by a token or the unknown one, so every place at its end has a way.
            let place = places[end]
            path.append(Step(start: Int(place.start), token: place.token))
            end = Int(place.start)
        }
        path.reverse()
    }
}

/// How sentencepiece turns pieces into text: "▁" becomes a space, and byte pieces become the characters they spell.
///
/// Source: https://github.com/google/sentencepiece, `src/sentencepiece_processor.cc` (`Decode`).
struct SentencePieceDecoding: DecodingStep {
    /// What a file says about decoding.
    struct Rules: Sendable {
        /// The spellings of pieces that are invisible.
        var controls: Set<[UInt8]> = []
        /// The spellings of tokens from other files, which are shown as they are; a new text starts behind them.
        var literals: Set<[UInt8]> = []
        /// The spelling of the unknown piece.
        var unknown: [UInt8] = []
        /// What is shown for the unknown piece.
        var unknownSurface: [UInt8] = []
        /// Whether the file has pieces that spell bytes.
        var hasBytes = false
        /// Whether a space was put in front of the text, which is taken away.
        var dropsFirstSpace = false
        /// Whether all "▁" that open the first pieces are taken away, not only one.
        var dropsAllSpaces = false
    }

    private let rules: Rules
    private var piece: [UInt8] = []
    private var assembler = UTF8Assembler()
    private var isAtStart = true

    init(_ rules: Rules) {
        self.rules = rules
    }

    mutating func take(_ event: DecodingEvent, into events: inout [DecodingEvent]) {
        switch event {
        case .text(let text):
            piece += text
        case .endOfPiece:
            var text: [UInt8] = []
            if rules.hasBytes, let byte = ByteFallbackDecoding.byte(named: piece) {
                take(byte, into: &text)
            } else {
                giveUp(into: &text)
                takePiece(into: &text)
            }
            piece.removeAll(keepingCapacity: true)
            if !text.isEmpty { events.append(.text(text)) }
        }
    }

    mutating func finish(into events: inout [DecodingEvent]) {
        var text: [UInt8] = []
        giveUp(into: &text)
        if !text.isEmpty { events.append(.text(text)) }
        events.append(.endOfPiece)
    }

    private mutating func takePiece(into text: inout [UInt8]) {
        if rules.literals.contains(piece) {
            text += piece
            isAtStart = true
            return
        }
        if rules.controls.contains(piece) { return }
        if piece == rules.unknown {
            text += rules.unknownSurface
            if !rules.unknownSurface.isEmpty { isAtStart = false }
            return
        }
        var rest = piece[...]
        if isAtStart, rules.dropsFirstSpace || rules.dropsAllSpaces, rest.starts(with: WordCut.space) {
            rest = rest.dropFirst(WordCut.space.count)
            if !rules.dropsAllSpaces { isAtStart = false }
        }
        if !rest.isEmpty { isAtStart = false }
        while let first = rest.first {
            if first == WordCut.space[0], rest.starts(with: WordCut.space) {
                text.append(0x20)
                rest = rest.dropFirst(WordCut.space.count)
            } else {
                text.append(first)
                rest = rest.dropFirst()
            }
        }
    }

    /// Takes a byte; each one that is part of no character becomes U+FFFD.
    private mutating func take(_ byte: UInt8, into text: inout [UInt8]) {
        isAtStart = false
        let heldCount = assembler.isInsideCharacter ? assembler.held.count : 0
        switch assembler.take(byte) {
        case .incomplete: break
        case .complete: text += assembler.held
        case .invalid(let also):
            for _ in 0..<heldCount + (also ? 1 : 0) { text += UTF8Assembler.replacement }
            if !also && !assembler.isInsideCharacter { text += assembler.held }
        }
    }

    /// Ends a run of bytes.
    private mutating func giveUp(into text: inout [UInt8]) {
        guard assembler.isInsideCharacter else { return }
        for _ in assembler.held { text += UTF8Assembler.replacement }
        assembler.reset()
    }
}

/// The step `ByteLevel`: characters of the byte alphabet become bytes, and the bytes of all pieces form one text.
struct ByteLevelDecoding: DecodingStep {
    private var piece: [UInt8] = []
    private var assembler = UTF8Assembler()

    mutating func take(_ event: DecodingEvent, into events: inout [DecodingEvent]) {
        switch event {
        case .text(let text):
            piece += text
        case .endOfPiece:
            var text: [UInt8] = []
            // A piece with a character outside the alphabet is an added token, which is written literally.
            assembler.take(ByteAlphabet.decode(piece) ?? piece, into: &text)
            piece.removeAll(keepingCapacity: true)
            if !text.isEmpty { events.append(.text(text)) }
        }
    }

    mutating func finish(into events: inout [DecodingEvent]) {
        if !piece.isEmpty { take(.endOfPiece, into: &events) }
        if assembler.isInsideCharacter { events.append(.text(UTF8Assembler.replacement)) }
        assembler.reset()
        events.append(.endOfPiece)
    }
}

/// The step `ByteFallback`: runs of pieces such as "<0xE4>" become the characters whose bytes they name.
///
/// A run that is not UTF-8 as a whole gives one U+FFFD for each piece. That is known only at the end of the run. A step
/// with `showsRunsEarly` shows each character as soon as it is complete; if the run turns out not to be UTF-8, only the
/// rest of it becomes U+FFFD.
struct ByteFallbackDecoding: DecodingStep {
    let showsRunsEarly: Bool
    private var piece: [UInt8] = []
    private var isInsideText = false

    private var assembler = UTF8Assembler()
    private var waitingCount = 0
    private var isBroken = false
    private var isRunning = false
    private var text: [UInt8] = []
    private var runLength = 0

    init(showsRunsEarly: Bool) {
        self.showsRunsEarly = showsRunsEarly
    }

    mutating func take(_ event: DecodingEvent, into events: inout [DecodingEvent]) {
        switch event {
        case .text where isInsideText:
            events.append(event)
        case .text(let bytes):
            piece += bytes
            // A piece longer than "<0x00>" names no byte, and a fused text, one long piece, must not wait for its end.
            if piece.count > 6 {
                endRun(into: &events)
                events.append(.text(piece))
                piece.removeAll(keepingCapacity: true)
                isInsideText = true
            }
        case .endOfPiece:
            if !isInsideText, let byte = Self.byte(named: piece) {
                take(byte, into: &events)
            } else {
                endRun(into: &events)
                if !piece.isEmpty { events.append(.text(piece)) }
                events.append(.endOfPiece)
            }
            piece.removeAll(keepingCapacity: true)
            isInsideText = false
        }
    }

    mutating func finish(into events: inout [DecodingEvent]) {
        if isInsideText || !piece.isEmpty { take(.endOfPiece, into: &events) }
        endRun(into: &events)
    }

    /// The byte that a piece such as "<0xE4>" names; nil for other pieces.
    static func byte(named piece: [UInt8]) -> UInt8? {
        guard piece.count == 6, piece.starts(with: "<0x".utf8), piece[5] == UInt8(ascii: ">"),
            let high = hexadecimalDigit(piece[3]), let low = hexadecimalDigit(piece[4])
        else { return nil }
        return high << 4 | low
    }

    private mutating func take(_ byte: UInt8, into events: inout [DecodingEvent]) {
        isRunning = true
        runLength += 1
        waitingCount += 1
        if !isBroken {
            switch assembler.take(byte) {
            case .incomplete: return
            case .invalid: isBroken = true
            case .complete:
                text += assembler.held
                guard showsRunsEarly else { return }
                events.append(.text(text))
                text.removeAll(keepingCapacity: true)
                waitingCount = 0
            }
        }
        if isBroken && showsRunsEarly { giveUp(waitingCount, into: &events) }
    }

    private mutating func endRun(into events: inout [DecodingEvent]) {
        guard isRunning else { return }
        if isBroken || assembler.isInsideCharacter {
            giveUp(showsRunsEarly ? waitingCount : runLength, into: &events)
        } else {
            if !text.isEmpty { events.append(.text(text)) }
            events.append(.endOfPiece)
        }
        text.removeAll(keepingCapacity: true)
        assembler.reset()
        isBroken = false
        isRunning = false
        runLength = 0
        waitingCount = 0
    }

    private mutating func giveUp(_ count: Int, into events: inout [DecodingEvent]) {
        for _ in 0..<count { events += [.text(UTF8Assembler.replacement), .endOfPiece] }
        waitingCount = 0
    }
}

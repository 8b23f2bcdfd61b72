/// The step `Fuse`: all pieces become one.
struct FuseDecoding: DecodingStep {
    mutating func take(_ event: DecodingEvent, into events: inout [DecodingEvent]) {
        if event != .endOfPiece { events.append(event) }
    }

    mutating func finish(into events: inout [DecodingEvent]) {
        events.append(.endOfPiece)
    }
}

/// The step for a file without a decoder: pieces with a space between them.
struct SpaceJoining: DecodingStep {
    private var needsSpace = false

    mutating func take(_ event: DecodingEvent, into events: inout [DecodingEvent]) {
        if needsSpace { events.append(.text([0x20])) }
        needsSpace = event == .endOfPiece
        if event != .endOfPiece { events.append(event) }
    }
}

/// The step `Strip`: removes up to a given number of one character from the start and the end of each piece.
struct StripDecoding: DecodingStep {
    private let content: [UInt8]
    private let startCount: Int
    private let stopCount: Int
    private var stripped = 0
    private var isPastStart = false
    /// How many of the character are held back, because they are removed if the piece ends here.
    private var waitingCount = 0

    /// Reads the field of such a decoder.
    init(_ field: FileField) throws(TokenizationError) {
        content = try field["content"].bytes()
        guard let first = content.first, utf8Length(startingWith: first) == content.count else {
            throw try field["content"].malformed("must be one character")
        }
        startCount = try field["start"].integer(in: 0...Int(Int32.max))
        stopCount = try field["stop"].integer(in: 0...Int(Int32.max))
    }

    mutating func take(_ event: DecodingEvent, into events: inout [DecodingEvent]) {
        guard case .text(let text) = event else {
            let kept = [UInt8](repeating: 0, count: max(0, waitingCount - stopCount)).flatMap { _ in content }
            if !kept.isEmpty { events.append(.text(kept)) }
            events.append(.endOfPiece)
            (stripped, isPastStart, waitingCount) = (0, false, 0)
            return
        }
        var output: [UInt8] = []
        var offset = 0
        while offset < text.count {
            let end = offset + utf8Length(startingWith: text[offset])
            defer { offset = end }
            let isContent = text[offset..<end].elementsEqual(content)
            if !isPastStart, isContent, stripped < startCount {
                stripped += 1
                continue
            }
            isPastStart = true
            if isContent && stopCount > 0 {
                waitingCount += 1
                continue
            }
            for _ in 0..<waitingCount { output += content }
            waitingCount = 0
            output += text[offset..<end]
        }
        if !output.isEmpty { events.append(.text(output)) }
    }

    mutating func finish(into events: inout [DecodingEvent]) {
        if isPastStart { take(.endOfPiece, into: &events) }
    }
}

/// The step `Replace`: every match of a pattern in a piece becomes another text.
struct ReplaceDecoding: DecodingStep {
    private let pattern: TextPattern
    private let replacement: [UInt8]
    private var waiting: [UInt8] = []

    /// Reads the field of such a decoder.
    init(_ field: FileField) throws(TokenizationError) {
        pattern = try TextPattern(try field["pattern"])
        replacement = try field["content"].bytes()
    }

    mutating func take(_ event: DecodingEvent, into events: inout [DecodingEvent]) {
        if case .text(let text) = event { waiting += text }
        var output: [UInt8] = []
        var end = 0
        switch pattern {
        case .literal(let literal):
            while waiting.count - end >= literal.count {
                if waiting[end] == literal[0], waiting[end..<end + literal.count].elementsEqual(literal) {
                    output += replacement
                    end += literal.count
                } else {
                    output.append(waiting[end])
                    end += 1
                }
            }
            // What may be the start of a match is held back. It starts where a character does, as the literal does.
            while end < waiting.count, event == .endOfPiece || !literal.starts(with: waiting[end...]) {
                output.append(waiting[end])
                end += 1
            }
        case .expression:
            if event == .endOfPiece {
                // Matching fails only at its limits; the unchanged piece is then the best that can be shown.
                output = (try? pattern.replacing(in: waiting, with: replacement, PatternWorkspace())) ?? waiting
                end = waiting.count
            }
        }
        waiting.removeFirst(end)
        if !output.isEmpty { events.append(.text(output)) }
        if event == .endOfPiece { events.append(event) }
    }

    mutating func finish(into events: inout [DecodingEvent]) {
        if !waiting.isEmpty { take(.endOfPiece, into: &events) }
    }
}

/// The step `Metaspace`: the visible character becomes a space, or nothing in the first piece if one was put in front.
struct MetaspaceDecoding: DecodingStep {
    let metaspace: Metaspace
    private var isFirst = true

    init(_ metaspace: Metaspace) {
        self.metaspace = metaspace
    }

    mutating func take(_ event: DecodingEvent, into events: inout [DecodingEvent]) {
        guard case .text(let text) = event else {
            isFirst = false
            events.append(event)
            return
        }
        var output: [UInt8] = []
        var offset = 0
        while offset < text.count {
            let end = offset + utf8Length(startingWith: text[offset])
            if !text[offset..<end].elementsEqual(metaspace.replacement) {
                output += text[offset..<end]
            } else if !isFirst || metaspace.scheme == .never {
                output.append(0x20)
            }
            offset = end
        }
        if !output.isEmpty { events.append(.text(output)) }
    }
}

/// Turns tokens' pieces into text as they arrive, by the steps of a `decoder` field, one after the other.
struct PieceDecoder: Sendable {
    private var steps: [any DecodingStep] = []
    private var events: [DecodingEvent] = []
    private var nextEvents: [DecodingEvent] = []

    /// Takes the steps themselves.
    init(_ steps: [any DecodingStep]) {
        self.steps = steps
    }

    /// Reads a `decoder` field; `showsRunsEarly` is passed to `ByteFallbackDecoding`.
    init(_ field: FileField, showsRunsEarly: Bool) throws(TokenizationError) {
        for component in try field.flattened(membersOf: "decoders") {
            let type = try component["type"].string()
            switch type {
            case "ByteLevel": steps.append(ByteLevelDecoding())
            case "ByteFallback": steps.append(ByteFallbackDecoding(showsRunsEarly: showsRunsEarly))
            case "Fuse": steps.append(FuseDecoding())
            case "Strip": steps.append(try StripDecoding(component))
            case "Replace": steps.append(try ReplaceDecoding(component))
            case "Metaspace": steps.append(MetaspaceDecoding(try Metaspace(component)))
            default: throw component.unsupported("the decoder \"\(type)\"")
            }
        }
        if field.isAbsent { steps.append(SpaceJoining()) }
    }

    /// Takes the next piece and appends the text that is certain by now.
    mutating func take(_ piece: [UInt8], into text: inout [UInt8]) {
        events.append(.text(piece))
        events.append(.endOfPiece)
        for index in steps.indices {
            nextEvents.removeAll(keepingCapacity: true)
            for event in events { steps[index].take(event, into: &nextEvents) }
            swap(&events, &nextEvents)
        }
        collect(into: &text)
    }

    /// Appends what was held back.
    mutating func finish(into text: inout [UInt8]) {
        for index in steps.indices {
            nextEvents.removeAll(keepingCapacity: true)
            for event in events { steps[index].take(event, into: &nextEvents) }
            steps[index].finish(into: &nextEvents)
            swap(&events, &nextEvents)
        }
        collect(into: &text)
    }

    private mutating func collect(into text: inout [UInt8]) {
        for case .text(let part) in events { text += part }
        events.removeAll(keepingCapacity: true)
    }
}

/// What one step of a decoder hands to the next.
///
/// The reference's decoders take and return lists of pieces. Here the pieces arrive one after another, and `Fuse` joins
/// them to one piece that keeps growing; so text and the ends of pieces are separate events. Text always consists of
/// whole characters.
enum DecodingEvent: Equatable, Sendable {
    case text([UInt8])
    case endOfPiece
}

/// A step of a decoder, which holds back text that depends on what follows.
protocol DecodingStep: Sendable {
    /// Takes an event and appends the events that follow from it.
    mutating func take(_ event: DecodingEvent, into events: inout [DecodingEvent])
    /// Appends what was held back, at the end of the text.
    mutating func finish(into events: inout [DecodingEvent])
}

extension DecodingStep {
    mutating func finish(into events: inout [DecodingEvent]) {}
}

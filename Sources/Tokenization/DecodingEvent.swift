/// What one step of a decoder hands to the next.
///
/// The reference's decoders take and give lists of pieces. Here the pieces arrive over time, and `Fuse` makes all of
/// them one piece that grows; so text and the ends of pieces are told apart. Text is always whole characters.
enum DecodingEvent: Equatable, Sendable {
    case text([UInt8])
    case endOfPiece
}

/// Steps that hold back what they cannot know yet.
protocol DecodingStep: Sendable {
    /// Takes an event and appends what it leads to.
    mutating func take(_ event: DecodingEvent, into events: inout [DecodingEvent])
    /// Appends what was held back, as nothing more comes.
    mutating func finish(into events: inout [DecodingEvent])
}

extension DecodingStep {
    mutating func finish(into events: inout [DecodingEvent]) {}
}

/// Finds stop strings in text that arrives in pieces, and holds back text that may be the start of one.
public struct StopMatcher: Sendable {
    private let stops: [[UInt8]]
    private var held: [UInt8] = []
    /// Whether a stop string was found; nothing is shown from then on.
    public private(set) var isStopped = false

    public init(stops: [String]) {
        self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty }
    }

    /// Takes more text, and returns the text that may be shown.
    ///
    /// A stop string itself is never shown.
    public mutating func append(_ text: String) -> String {
        guard !isStopped else { return "" }
        guard !stops.isEmpty else { return text }
        held += text.utf8
        let found = stops.compactMap { firstIndex(of: $0, in: held) }.min()
        if let found {
            isStopped = true
            return take(found)
        }
        let risky = stops.map { longestSuffix(of: held, thatStarts: $0) }.max() ?? 0
        return take(held.count - risky)
    }

    /// Returns the text that was held back, after all text has arrived.
    public mutating func finish() -> String {
        isStopped ? "" : take(held.count)
    }

    private mutating func take(_ count: Int) -> String {
        // A stop string starts at a character boundary, so both parts are valid UTF-8.
        defer { held.removeFirst(count) }
        return String(decoding: held[..<count], as: UTF8.self)
    }

    private func firstIndex(of stop: [UInt8], in text: [UInt8]) -> Int? {
        guard text.count >= stop.count else { return nil }
        return (0...text.count - stop.count).first { text[$0..<$0 + stop.count].elementsEqual(stop) }
    }

    private func longestSuffix(of text: [UInt8], thatStarts stop: [UInt8]) -> Int {
        (1..<max(1, stop.count)).reversed().first { $0 <= text.count && text.suffix($0).elementsEqual(stop.prefix($0)) }
            ?? 0
    }
}

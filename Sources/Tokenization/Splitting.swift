/// A piece of a text: the unit that the model encodes by itself.
struct Piece: Equatable {
    var range: Range<Int>
    /// Whether the piece starts where the user's text starts: `Metaspace` may put a space only there.
    var opensText: Bool
}

/// What happens to the matches of a pattern.
enum SplitBehavior: String, Sendable {
    case isolated = "Isolated"
    case removed = "Removed"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    /// Reads the name of a behaviour from a file.
    init(_ field: FileField) throws(TokenizationError) {
        let name = try field.string()
        guard let behavior = SplitBehavior(rawValue: name) else { throw field.unsupported("the behavior \"\(name)\"") }
        self = behavior
    }
}

/// Cuts a piece where a pattern matches.
struct Splitting: Sendable {
    let pattern: TextPattern
    let behavior: SplitBehavior
    /// Whether the text between matches counts as the match, and the matches as the text between.
    var isInverted = false

    /// A part of a piece: a match, or the text between two matches.
    struct Part {
        var range: Range<Int>
        let isMatch: Bool
    }

    /// Appends the pieces that `piece` is cut into; `parts` is scratch memory.
    func split(
        _ piece: Piece, of text: [UInt8], into pieces: inout [Piece], parts: inout [Part], _ workspace: PatternWorkspace
    ) throws(TokenizationError) {
        try findParts(of: text, piece.range, &parts, workspace)
        switch behavior {
        case .isolated, .removed: break
        case .contiguous: join(&parts) { $0.isMatch == $1.isMatch }
        // Of a run of matches only the first joins the neighbour; the others stay alone, as in the reference.
        case .mergedWithPrevious: joinMatches(&parts)
        case .mergedWithNext:
            parts.reverse()
            joinMatches(&parts)
            parts.reverse()
        }
        for part in parts where !part.range.isEmpty && !(behavior == .removed && part.isMatch) {
            let opensText = piece.opensText && part.range.lowerBound == piece.range.lowerBound
            pieces.append(Piece(range: part.range, opensText: opensText))
        }
    }

    private func findParts(
        of text: [UInt8], _ range: Range<Int>, _ parts: inout [Part], _ workspace: PatternWorkspace
    ) throws(TokenizationError) {
        parts.removeAll(keepingCapacity: true)
        let isMatch = !isInverted
        var end = range.lowerBound
        try pattern.forEachMatch(in: text, range, workspace) { match in
            if end < match.lowerBound { parts.append(Part(range: end..<match.lowerBound, isMatch: !isMatch)) }
            parts.append(Part(range: match, isMatch: isMatch))
            end = match.upperBound
        }
        if end < range.upperBound { parts.append(Part(range: end..<range.upperBound, isMatch: !isMatch)) }
    }

    private func join(_ parts: inout [Part], where belongTogether: (Part, Part) -> Bool) {
        var joined: [Part] = []
        for part in parts {
            if let last = joined.last, belongTogether(last, part) {
                joined[joined.count - 1].range = last.range.lowerBound..<part.range.upperBound
            } else {
                joined.append(part)
            }
        }
        parts = joined
    }

    private func joinMatches(_ parts: inout [Part]) {
        var joined: [Part] = []
        var previousWasMatch = false
        for part in parts {
            if part.isMatch, !previousWasMatch, let last = joined.last {
                let lower = min(last.range.lowerBound, part.range.lowerBound)
                let upper = max(last.range.upperBound, part.range.upperBound)
                joined[joined.count - 1].range = lower..<upper
            } else {
                joined.append(part)
            }
            previousWasMatch = part.isMatch
        }
        parts = joined
    }
}

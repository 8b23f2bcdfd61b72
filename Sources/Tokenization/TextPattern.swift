/// What a component searches for: a plain text or a regular expression.
enum TextPattern: Sendable {
    case literal([UInt8])
    case expression(Pattern)

    /// Reads `{"String": …}` or `{"Regex": …}`.
    init(_ field: FileField) throws(TokenizationError) {
        let literal = try field["String"]
        if literal.isAbsent {
            try self.init(expression: try field["Regex"])
        } else {
            let bytes = try literal.bytes()
            guard !bytes.isEmpty else { throw literal.malformed("an empty text to search for") }
            self = .literal(bytes)
        }
    }

    /// Compiles the expression that a field holds.
    init(expression field: FileField) throws(TokenizationError) {
        let source = try field.bytes()
        do {
            self = .expression(try Pattern(oniguruma: source))
        } catch {
            throw field.unsupported("the expression \(String(decoding: source, as: UTF8.self)): \(error.reason):")
        }
    }

    /// Compiles an expression that is not from the file, for components that are defined by one; errors name `field`.
    init(own expression: String, for field: FileField) throws(TokenizationError) {
        do {
            self = .expression(try Pattern(oniguruma: Array(expression.utf8)))
        } catch {
            throw field.unsupported("this component (\(error.reason))")
        }
    }

    /// Calls `body` with each match in the bytes of `text` in `range`, from left to right.
    func forEachMatch(
        in text: [UInt8], _ range: Range<Int>, _ workspace: PatternWorkspace, _ body: (Range<Int>) -> Void
    ) throws(TokenizationError) {
        switch self {
        case .expression(let pattern):
            try pattern.forEachMatch(in: text, range, workspace, body)
        case .literal(let literal):
            var start = range.lowerBound
            while start + literal.count <= range.upperBound {
                if text[start] == literal[0], text[start..<start + literal.count].elementsEqual(literal) {
                    body(start..<start + literal.count)
                    start += literal.count
                } else {
                    start += 1
                }
            }
        }
    }

    /// Replaces every match in a text.
    func replacing(
        in text: [UInt8], with replacement: [UInt8], _ workspace: PatternWorkspace
    ) throws(TokenizationError) -> [UInt8] {
        var replaced: [UInt8] = []
        replaced.reserveCapacity(text.count)
        var end = 0
        try forEachMatch(in: text, 0..<text.count, workspace) { match in
            replaced += text[end..<match.lowerBound]
            replaced += replacement
            end = match.upperBound
        }
        return replaced + text[end...]
    }
}

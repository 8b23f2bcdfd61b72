/// A piece of a template.
struct Token {
    var kind: Kind
    var position: Position

    enum Kind: Equatable {
        case data(Text)
        case variableBegin
        case variableEnd
        case blockBegin
        case blockEnd
        case name(Text)
        case string(Text)
        case integer(Int)
        case largeInteger(Text)
        case float(Double)
        case symbol(Symbol)
        case end
    }

    /// What messages call it.
    var description: String {
        switch kind {
        case .data: "template data / text"
        case .variableBegin: "begin of print statement"
        case .variableEnd: "end of print statement"
        case .blockBegin: "begin of statement block"
        case .blockEnd: "end of statement block"
        case .name(let name): name.string
        case .string: "string"
        case .integer, .largeInteger: "integer"
        case .float: "float"
        case .symbol(let symbol): symbol.rawValue
        case .end: "end of template"
        }
    }
}

enum Symbol: String, CaseIterable {
    case floorDivide = "//"
    case power = "**"
    case equal = "=="
    case notEqual = "!="
    case greaterOrEqual = ">="
    case lessOrEqual = "<="
    case add = "+"
    case subtract = "-"
    case divide = "/"
    case multiply = "*"
    case remainder = "%"
    case tilde = "~"
    case leftBracket = "["
    case rightBracket = "]"
    case leftParenthesis = "("
    case rightParenthesis = ")"
    case leftBrace = "{"
    case rightBrace = "}"
    case greater = ">"
    case less = "<"
    case assign = "="
    case dot = "."
    case colon = ":"
    case pipe = "|"
    case comma = ","
    case semicolon = ";"

    /// The symbol that closes what this one opens.
    fileprivate var closing: Symbol? { Self.brackets.first { $0.key == self }?.value }

    fileprivate var closes: Bool { Self.brackets.contains { $0.value == self } }

    private static let brackets: KeyValuePairs<Symbol, Symbol> = [
        .leftBracket: .rightBracket, .leftParenthesis: .rightParenthesis, .leftBrace: .rightBrace,
    ]
}

/// Cuts a template into tokens, with Jinja's rules for white space under `trim_blocks` and `lstrip_blocks`.
///
/// A `-` next to a tag's mark drops all white space on that side. Without it, the line end after a block or a comment
/// is dropped, and so is the space between the start of a line and a block or a comment; a `+` keeps them.
struct Lexer {
    private let source: [Unicode.Scalar]
    private var index = 0
    private var position = Position()
    private var tokens: [Token] = []
    /// Whether only the start of a line comes before the text that is read next.
    private var isLineStart = true

    private init(_ text: String) {
        var source: [Unicode.Scalar] = []
        for scalar in text.unicodeScalars {
            // Every kind of line end is one \n.
            if scalar == "\n", source.last == "\r" {
                source[source.count - 1] = "\n"
            } else {
                if source.last == "\r" { source[source.count - 1] = "\n" }
                source.append(scalar)
            }
        }
        if source.last == "\r" { source[source.count - 1] = "\n" }
        if source.last == "\n" { source.removeLast() }
        self.source = source
    }

    static func tokens(of source: String) throws(TemplateError) -> [Token] {
        var lexer = Lexer(source)
        guard lexer.source.count <= FixedLimits.source else {
            throw lexer.position.error(.limit, "the template is longer than \(FixedLimits.source) characters")
        }
        while lexer.index < lexer.source.count { try lexer.readRoot() }
        lexer.append(.end)
        return lexer.tokens
    }

    // MARK: Outside tags

    private enum Tag {
        case raw
        case comment
        case block
        case variable
    }

    /// Reads text up to the next tag, and the tag.
    private mutating func readRoot() throws(TemplateError) {
        let start = index
        var end = index
        while end < source.count, tag(at: end) == nil { end += 1 }
        guard let tag = tag(at: end) else {
            appendData(start..<end)
            return advance(to: end)
        }
        let sign = sign(at: end + 2)
        appendData(start..<textEnd(start..<end, sign, isVariable: tag == .variable))
        advance(to: end)
        switch tag {
        case .raw: try readRaw()
        case .comment: try readComment()
        case .block: try readCode(.blockBegin, end: .blockEnd, sign)
        case .variable: try readCode(.variableBegin, end: .variableEnd, sign)
        }
    }

    private func tag(at index: Int) -> Tag? {
        guard index + 1 < source.count, source[index] == "{" else { return nil }
        switch source[index + 1] {
        case "{": return .variable
        case "#": return .comment
        case "%": return wordTagEnd("raw", at: index) == nil ? .block : .raw
        default: return nil
        }
    }

    /// Where the inside of the tag `{% word %}` ends, before the mark that closes it; nil if this is not that tag.
    private func wordTagEnd(_ word: String, at index: Int) -> Int? {
        guard source[index] == "{", has("{%", at: index) else { return nil }
        var end = skippingSpace(index + 2 + (sign(at: index + 2) == nil ? 0 : 1))
        guard has(word, at: end) else { return nil }
        end = skippingSpace(end + word.utf8.count)
        return has("%}", at: end) || has("-%}", at: end) || (word == "endraw" && has("+%}", at: end)) ? end : nil
    }

    /// The end of the text before a tag, without the space that the tag drops.
    private func textEnd(_ text: Range<Int>, _ sign: Unicode.Scalar?, isVariable: Bool) -> Int {
        let afterSpace = source[text].lastIndex { !$0.isPythonSpace }.map { $0 + 1 } ?? text.lowerBound
        if sign == "-" { return afterSpace }
        guard sign == nil, !isVariable else { return text.upperBound }
        let lineStart = source[text].lastIndex(of: "\n").map { $0 + 1 } ?? text.lowerBound
        let isAtStart = lineStart > text.lowerBound || isLineStart
        return isAtStart && afterSpace <= lineStart ? lineStart : text.upperBound
    }

    private mutating func readRaw() throws(TemplateError) {
        let start = position
        // Unlike other blocks, this tag keeps the line end after it.
        let open = wordTagEnd("raw", at: index) ?? index
        advance(to: has("-", at: open) ? skippingSpace(open + 3) : open + 2)
        isLineStart = source[index - 1] == "\n"
        var end = index
        while end < source.count {
            if let close = wordTagEnd("endraw", at: end) {
                appendData(index..<textEnd(index..<end, sign(at: end + 2), isVariable: false))
                return finishTag(at: close, "%}", dropsLineEnd: true)
            }
            end += 1
        }
        // Jinja lets a template end right behind the tag.
        if index < source.count { throw start.error(.syntax, "Missing end of raw directive") }
    }

    private mutating func readComment() throws(TemplateError) {
        var end = index + 2 + (sign(at: index + 2) == nil ? 0 : 1)
        while end < source.count {
            if has("#}", at: end) || has("-#}", at: end) || has("+#}", at: end) {
                return finishTag(at: end, "#}", dropsLineEnd: true)
            }
            end += 1
        }
        // Jinja lets a template end right behind the mark.
        guard index + 2 + (sign(at: index + 2) == nil ? 0 : 1) == source.count else {
            throw position.error(.syntax, "Missing end of comment tag")
        }
        advance(to: source.count)
    }

    /// Goes behind the mark that closes a tag, with its sign, and behind the space that it drops.
    private mutating func finishTag(at start: Int, _ mark: String, dropsLineEnd: Bool) {
        let sign = sign(at: start)
        var end = start + (sign == nil ? 0 : 1) + mark.utf8.count
        if sign == "-" {
            end = skippingSpace(end)
        } else if sign == nil, dropsLineEnd, has("\n", at: end) {
            end += 1
        }
        advance(to: end)
        isLineStart = source[end - 1] == "\n"
    }

    // MARK: Inside tags

    private mutating func readCode(
        _ begin: Token.Kind, end: Token.Kind, _ sign: Unicode.Scalar?
    ) throws(TemplateError) {
        append(begin)
        advance(to: index + 2 + (sign == nil ? 0 : 1))
        let mark = end == .blockEnd ? "%}" : "}}"
        var open: [Symbol] = []
        while index < source.count {
            let isMark = has(mark, at: index)
            let isSignedMark = has("-" + mark, at: index) || (end == .blockEnd && has("+" + mark, at: index))
            if open.isEmpty, isMark || isSignedMark {
                append(end)
                return finishTag(at: index, mark, dropsLineEnd: end == .blockEnd)
            }
            try readToken(&open)
        }
    }

    private mutating func readToken(_ open: inout [Symbol]) throws(TemplateError) {
        let scalar = source[index]
        if scalar.isPythonSpace {
            advance(to: skippingSpace(index))
        } else if isDigit(at: index) {
            try readNumber()
        } else if scalar.isWordPart {
            var end = index
            while end < source.count, source[end].continuesIdentifier { end += 1 }
            guard end - index <= FixedLimits.name else { throw position.error(.limit, "a name is too long") }
            guard scalar.startsIdentifier else { throw position.error(.syntax, "Invalid character in identifier") }
            append(.name(Text(source[index..<end])))
            advance(to: end)
        } else if scalar == "'" || scalar == "\"" {
            try readString(quote: scalar)
        } else {
            guard let symbol = Symbol.allCases.first(where: { has($0.rawValue, at: index) }) else {
                throw position.error(.syntax, "unexpected char \(Text([scalar]).representation)")
            }
            try balance(symbol, &open)
            append(.symbol(symbol))
            advance(to: index + symbol.rawValue.utf8.count)
        }
    }

    private func balance(_ symbol: Symbol, _ open: inout [Symbol]) throws(TemplateError) {
        if let closing = symbol.closing { open.append(closing) }
        guard symbol.closes else { return }
        guard let expected = open.popLast() else {
            throw position.error(.syntax, "unexpected '\(symbol.rawValue)'")
        }
        guard expected == symbol else {
            throw position.error(.syntax, "unexpected '\(symbol.rawValue)', expected '\(expected.rawValue)'")
        }
    }

    private mutating func readNumber() throws(TemplateError) {
        let isAfterDot = index > 0 && source[index - 1] == "."
        if !isAfterDot, let end = floatEnd(index) {
            guard let number = Double(spelling(index..<end)) else {
                throw position.error(.syntax, "a malformed number")
            }
            append(.float(number))
            return advance(to: end)
        }
        let prefixes: [(String, Int)] = [("0b", 2), ("0o", 8), ("0x", 16), ("0B", 2), ("0O", 8), ("0X", 16)]
        if let (_, radix) = prefixes.first(where: { has($0.0, at: index) }) {
            let end = digitsEnd(index + 2, radix: radix, mayStartWithUnderscore: true)
            if end > index + 2 {
                guard let number = Int(spelling(index + 2..<end), radix: radix) else {
                    throw position.error(.limit, "an integer beyond 64 bits")
                }
                append(.integer(number))
                return advance(to: end)
            }
        }
        // Zeros can only be followed by zeros.
        let end = digitsEnd(index, radix: has("0", at: index) ? 1 : 10)
        let digits = spelling(index..<end)
        append(Int(digits).map(Token.Kind.integer) ?? .largeInteger(Text(digits)))
        advance(to: end)
    }

    /// The end of the number with a fraction or an exponent that begins there; nil if there is none.
    private func floatEnd(_ start: Int) -> Int? {
        var end = digitsEnd(start, radix: 10)
        let fraction = has(".", at: end) ? digitsEnd(end + 1, radix: 10) : end + 1
        let hasFraction = fraction > end + 1
        if hasFraction { end = fraction }
        guard has("e", at: end) || has("E", at: end) else { return hasFraction ? end : nil }
        let digits = end + (has("+", at: end + 1) || has("-", at: end + 1) ? 2 : 1)
        let exponent = digitsEnd(digits, radix: 10)
        return exponent > digits ? exponent : (hasFraction ? end : nil)
    }

    /// The end of digits, with single underscores between them; radix 1 has only zeros.
    private func digitsEnd(_ start: Int, radix: Int, mayStartWithUnderscore: Bool = false) -> Int {
        var end = start
        while end < source.count {
            let isJoint = source[end] == "_" && (end > start || mayStartWithUnderscore)
            let digit = isJoint ? end + 1 : end
            guard digit < source.count, source[digit].isASCII,
                let value = Character(source[digit]).hexDigitValue, value < radix
            else { break }
            end = digit + 1
        }
        return end
    }

    private func spelling(_ range: Range<Int>) -> String { Text(source[range].filter { $0 != "_" }).string }

    private func isDigit(at index: Int) -> Bool { ("0"..."9").contains(source[index]) }

    private mutating func readString(quote: Unicode.Scalar) throws(TemplateError) {
        var end = index + 1
        while end < source.count, source[end] != quote { end += source[end] == "\\" ? 2 : 1 }
        guard end < source.count else {
            throw position.error(.syntax, "unexpected char \(Text([quote]).representation)")
        }
        var decoder = EscapeDecoder(scalars: source[(index + 1)..<end])
        guard let text = decoder.decoded() else {
            throw position.error(.syntax, "an escape in a string that stands for no character")
        }
        append(.string(text))
        advance(to: end + 1)
    }

    // MARK: Steps

    private mutating func append(_ kind: Token.Kind) { tokens.append(Token(kind: kind, position: position)) }

    private mutating func appendData(_ range: Range<Int>) {
        if !range.isEmpty { append(.data(Text(source[range]))) }
    }

    private mutating func advance(to end: Int) {
        for scalar in source[index..<end] {
            position.column += 1
            if scalar == "\n" { position = Position(line: position.line + 1, column: 1) }
        }
        index = end
    }

    private func has(_ text: String, at index: Int) -> Bool {
        index < source.count && source[index...].starts(with: text.unicodeScalars)
    }

    private func sign(at index: Int) -> Unicode.Scalar? {
        index < source.count && (source[index] == "-" || source[index] == "+") ? source[index] : nil
    }

    private func skippingSpace(_ start: Int) -> Int {
        source[start...].firstIndex { !$0.isPythonSpace } ?? source.count
    }
}

/// Decodes the escapes of Python's string literals.
private struct EscapeDecoder {
    let scalars: ArraySlice<Unicode.Scalar>
    private var index: Int

    init(scalars: ArraySlice<Unicode.Scalar>) {
        self.scalars = scalars
        index = scalars.startIndex
    }

    /// The text; nil if an escape stands for no character.
    mutating func decoded() -> Text? {
        var result: [Unicode.Scalar] = []
        while index < scalars.endIndex {
            let scalar = scalars[index]
            index += 1
            if scalar == "\\" {
                guard let replacement = decodedEscape() else { return nil }
                result += replacement
            } else {
                result.append(scalar)
            }
        }
        return Text(result)
    }

    private mutating func decodedEscape() -> [Unicode.Scalar]? {
        let scalar = scalars[index]
        index += 1
        switch scalar {
        case "\n": return []
        case "\\", "'", "\"": return [scalar]
        case "a": return ["\u{7}"]
        case "b": return ["\u{8}"]
        case "f": return ["\u{C}"]
        case "n": return ["\n"]
        case "r": return ["\r"]
        case "t": return ["\t"]
        case "v": return ["\u{B}"]
        case "x": return number(digits: 2)
        case "u": return number(digits: 4)
        case "U": return number(digits: 8)
        case "N": return nil
        case "0"..."7":
            index -= 1
            let end = scalars[index...].prefix(3).prefix { ("0"..."7").contains($0) }.endIndex
            defer { index = end }
            return UInt32(Text(scalars[index..<end]).string, radix: 8).flatMap(Unicode.Scalar.init).map { [$0] }
        default:
            // Jinja writes other characters as escapes before it decodes them, so a backslash before one escapes that.
            guard !scalar.isASCII else { return ["\\", scalar] }
            return Text("\\" + scalar.pythonEscape).scalars
        }
    }

    private mutating func number(digits: Int) -> [Unicode.Scalar]? {
        let end = index + digits
        guard end <= scalars.endIndex, scalars[index..<end].allSatisfy({ $0.properties.isASCIIHexDigit }) else {
            return nil
        }
        defer { index = end }
        return UInt32(Text(scalars[index..<end]).string, radix: 16).flatMap(Unicode.Scalar.init).map { [$0] }
    }
}

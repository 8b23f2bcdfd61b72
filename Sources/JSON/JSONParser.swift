import Messages

/// A recursive-descent parser over bytes.
struct JSONParser {
    private let bytes: UnsafeRawBufferPointer
    private let dialect: JSONDialect
    private let maximumDepth: Int
    private var position = 0
    private var depth = 0

    init(bytes: UnsafeRawBufferPointer, dialect: JSONDialect, maximumDepth: Int) {
        self.bytes = bytes
        self.dialect = dialect
        self.maximumDepth = maximumDepth
    }

    mutating func parseText() throws(JSONProblem) -> JSONValue {
        let value = try parseValue()
        skipSpace()
        guard position == bytes.count else { throw problem("unexpected text after the value") }
        return value
    }

    private func problem(_ reason: String, at offset: Int? = nil) -> JSONProblem {
        JSONProblem(offset: offset ?? position, reason: reason)
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            position += 1
        }
    }

    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard let found = next, UInt32(found) == byte.value else { return false }
        position += 1
        return true
    }

    private mutating func parseValue() throws(JSONProblem) -> JSONValue {
        skipSpace()
        guard let byte = next else { throw problem("the text ends where a value should be") }
        switch Unicode.Scalar(byte) {
        case "{": return .object(try parseMembers())
        case "[": return .array(try parseElements())
        case "\"": return .string(try parseString())
        case "t": return try parseWord("true", .bool(true))
        case "f": return try parseWord("false", .bool(false))
        case "n": return try parseWord("null", .null)
        case "N" where dialect == .python: return try parseWord("NaN", .number("NaN"))
        case "I" where dialect == .python: return try parseWord("Infinity", .number("Infinity"))
        case "-", "0"..."9": return .number(try parseNumber())
        default: throw problem("unexpected byte \(byte) where a value should be")
        }
    }

    private mutating func parseWord(_ word: StaticString, _ value: JSONValue) throws(JSONProblem) -> JSONValue {
        let count = word.utf8CodeUnitCount
        let expected = UnsafeRawBufferPointer(start: word.utf8Start, count: count)
        guard bytes.count - position >= count, bytes[position..<position + count].elementsEqual(expected) else {
            throw problem("unknown word")
        }
        position += count
        return value
    }

    /// Enters an array or an object; the limit keeps hostile nesting from exhausting the stack.
    private mutating func enter() throws(JSONProblem) {
        depth += 1
        guard depth <= maximumDepth else { throw problem("nested deeper than \(maximumDepth) levels") }
        position += 1
        skipSpace()
    }

    private mutating func parseElements() throws(JSONProblem) -> [JSONValue] {
        try enter()
        defer { depth -= 1 }
        var elements: [JSONValue] = []
        if take("]") { return elements }
        while true {
            elements.append(try parseValue())
            skipSpace()
            if take("]") { return elements }
            guard take(",") else { throw problem("expected , or ] in an array") }
        }
    }

    private mutating func parseMembers() throws(JSONProblem) -> [JSONMember] {
        try enter()
        defer { depth -= 1 }
        var members: [JSONMember] = []
        // Names are compared by their bytes, because Swift takes canonically equivalent strings for equal.
        var names: Set<[UInt8]> = []
        if take("}") { return members }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw problem("expected a name in quotes") }
            let name = try parseString()
            guard dialect != .strict || names.insert(Array(name.utf8)).inserted else {
                throw problem("the name \(quoted(name)) occurs twice")
            }
            skipSpace()
            guard take(":") else { throw problem("expected : after a name") }
            members.append(JSONMember(name: name, value: try parseValue()))
            skipSpace()
            if take("}") { return members }
            guard take(",") else { throw problem("expected , or } in an object") }
        }
    }

    private mutating func parseNumber() throws(JSONProblem) -> String {
        let start = position
        if take("-"), dialect == .python, next == UInt8(ascii: "I") {
            _ = try parseWord("Infinity", .null)
            return "-Infinity"
        }
        let integerStart = position
        guard skipDigits() else { throw problem("expected a digit", at: start) }
        guard bytes[integerStart] != UInt8(ascii: "0") || position == integerStart + 1 else {
            throw problem("a number with a leading zero", at: start)
        }
        if take("."), !skipDigits() { throw problem("expected a digit") }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            guard skipDigits() else { throw problem("expected a digit") }
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    /// Skips digits and says whether there was one.
    private mutating func skipDigits() -> Bool {
        let start = position
        while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
        return position > start
    }

    private mutating func parseString() throws(JSONProblem) -> String {
        position += 1
        var text = ""
        var runStart = position
        while true {
            guard let byte = next else { throw problem("a string without its closing quote") }
            guard byte >= 0x20 else { throw problem("a control character in a string") }
            guard byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else {
                position += 1
                continue
            }
            let run = UnsafeRawBufferPointer(rebasing: bytes[runStart..<position])
            do {
                text += String(copying: try UTF8Span(validating: run.assumingMemoryBound(to: UInt8.self).span))
            } catch {
                throw problem("a string that is not UTF-8", at: runStart + error.byteOffsets.lowerBound)
            }
            position += 1
            if byte == UInt8(ascii: "\"") { return text }
            text.unicodeScalars.append(try parseEscape())
            runStart = position
        }
    }

    private mutating func parseEscape() throws(JSONProblem) -> Unicode.Scalar {
        guard let byte = next else { throw problem("a string without its closing quote") }
        position += 1
        switch Unicode.Scalar(byte) {
        case "\"", "\\", "/": return Unicode.Scalar(byte)
        case "b": return "\u{8}"
        case "f": return "\u{C}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "u": return try parseUnicodeEscape()
        default: throw problem("an unknown escape in a string")
        }
    }

    private mutating func parseUnicodeEscape() throws(JSONProblem) -> Unicode.Scalar {
        let unit = try parseFourDigits()
        if let scalar = Unicode.Scalar(unit) { return scalar }
        // A surrogate is part of a character only as the first half of a pair.
        let end = position
        if unit < 0xDC00, take("\\"), take("u") {
            let low = try parseFourDigits()
            if (0xDC00..<0xE000).contains(low),
                let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
            {
                return scalar
            }
        }
        position = end
        guard dialect == .python else { throw problem("half of a surrogate pair") }
        return "\u{FFFD}"
    }

    private mutating func parseFourDigits() throws(JSONProblem) -> UInt32 {
        guard bytes.count - position >= 4 else { throw problem("a short \\u escape") }
        let digits = String(decoding: bytes[position..<position + 4], as: UTF8.self)
        guard digits.utf8.allSatisfy({ $0 != UInt8(ascii: "+") }), let value = UInt32(digits, radix: 16) else {
            throw problem("a \\u escape without four hexadecimal digits")
        }
        position += 4
        return value
    }
}

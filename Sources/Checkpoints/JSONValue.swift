/// A JSON text as it stands: members in order, numbers as they are spelled.
///
/// Foundation's decoders lose what a checkpoint needs checked or kept: they accept duplicate names (the safetensors
/// format forbids them), forget the order of members and turn 1.0 into 1.
public enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    /// A number, spelled as in the text.
    case number(String)
    case string(String)
    case array([JSONValue])
    /// Members in the order of the text; no name occurs twice.
    case object([JSONMember])

    /// Parses a whole JSON text (RFC 8259), UTF-8.
    ///
    /// - Throws: `JSONProblem` with the byte offset: bad syntax, invalid UTF-8, a name that occurs twice in one
    ///   object, nesting deeper than 128, or bytes after the value.
    public init(parsing bytes: UnsafeRawBufferPointer) throws(JSONProblem) {
        var parser = JSONParser(bytes: bytes)
        self = try parser.parseText()
    }

    /// The same for an array of bytes.
    public init(parsing bytes: [UInt8]) throws(JSONProblem) {
        self = try bytes.withUnsafeBufferPointer { (buffer) throws(JSONProblem) in
            try JSONValue(parsing: UnsafeRawBufferPointer(buffer))
        }
    }

    /// The value of the member `name` of an object; nil for anything else.
    public subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    /// The text of a string; nil for anything else.
    public var stringValue: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    /// The value of a number without fraction or exponent that fits an `Int`; nil for anything else.
    public var integerValue: Int? {
        guard case .number(let text) = self else { return nil }
        return Int(text)
    }

    /// The value of `true` or `false`; nil for anything else.
    public var boolValue: Bool? {
        guard case .bool(let value) = self else { return nil }
        return value
    }

    /// The elements of an array; nil for anything else.
    public var elements: [JSONValue]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }

    /// The members of an object in order; nil for anything else.
    public var members: [JSONMember]? {
        guard case .object(let members) = self else { return nil }
        return members
    }

    /// `text` as a JSON string, quotes included.
    public static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\u{0}"..<"\u{20}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

/// One name and its value in a JSON object.
public struct JSONMember: Equatable, Sendable {
    public let name: String
    public let value: JSONValue
}

/// Where a text stops being JSON, and why.
public struct JSONProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// Bytes from the start of the text.
    public let offset: Int
    public let reason: String

    public var description: String { "\(reason) at byte \(offset)" }
}

/// A recursive-descent parser over bytes.
private struct JSONParser {
    let bytes: UnsafeRawBufferPointer
    var position = 0
    var depth = 0

    init(bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    mutating func parseText() throws(JSONProblem) -> JSONValue {
        let value = try parseValue()
        skipSpace()
        guard position == bytes.count else { throw problem("unexpected text after the value") }
        return value
    }

    func problem(_ reason: String) -> JSONProblem {
        JSONProblem(offset: position, reason: reason)
    }

    var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            position += 1
        }
    }

    mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard let found = next, UInt32(found) == byte.value else { return false }
        position += 1
        return true
    }

    mutating func parseValue() throws(JSONProblem) -> JSONValue {
        skipSpace()
        guard let byte = next else { throw problem("the text ends where a value should be") }
        switch Unicode.Scalar(byte) {
        case "{": return .object(try parseMembers())
        case "[": return .array(try parseElements())
        case "\"": return .string(try parseString())
        case "t": return try parseWord("true", .bool(true))
        case "f": return try parseWord("false", .bool(false))
        case "n": return try parseWord("null", .null)
        case "-", "0"..."9": return .number(try parseNumber())
        default: throw problem("unexpected byte \(byte) where a value should be")
        }
    }

    mutating func parseWord(_ word: StaticString, _ value: JSONValue) throws(JSONProblem) -> JSONValue {
        let count = word.utf8CodeUnitCount
        let expected = UnsafeRawBufferPointer(start: word.utf8Start, count: count)
        guard bytes.count - position >= count, bytes[position..<position + count].elementsEqual(expected) else {
            throw problem("unknown word")
        }
        position += count
        return value
    }

    /// Runs `body` one level deeper; the limit keeps hostile nesting from exhausting the stack.
    mutating func enter() throws(JSONProblem) {
        depth += 1
        guard depth <= 128 else { throw problem("nesting deeper than 128") }
        position += 1
        skipSpace()
    }

    mutating func parseElements() throws(JSONProblem) -> [JSONValue] {
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

    mutating func parseMembers() throws(JSONProblem) -> [JSONMember] {
        try enter()
        defer { depth -= 1 }
        var members: [JSONMember] = []
        var names: Set<String> = []
        if take("}") { return members }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw problem("expected a name in quotes") }
            let name = try parseString()
            guard names.insert(name).inserted else { throw problem("the name \"\(name)\" occurs twice") }
            skipSpace()
            guard take(":") else { throw problem("expected : after a name") }
            members.append(JSONMember(name: name, value: try parseValue()))
            skipSpace()
            if take("}") { return members }
            guard take(",") else { throw problem("expected , or } in an object") }
        }
    }

    mutating func parseNumber() throws(JSONProblem) -> String {
        let start = position
        _ = take("-")
        let integerStart = position
        try skipDigits()
        guard bytes[integerStart] != UInt8(ascii: "0") || position == integerStart + 1 else {
            throw problem("a number with a leading zero")
        }
        if take(".") { try skipDigits() }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            try skipDigits()
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    mutating func skipDigits() throws(JSONProblem) {
        let start = position
        while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
        guard position > start else { throw problem("expected a digit") }
    }

    mutating func parseString() throws(JSONProblem) -> String {
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
            guard let run = String(validating: bytes[runStart..<position], as: UTF8.self) else {
                throw problem("a string that is not UTF-8")
            }
            text += run
            position += 1
            if byte == UInt8(ascii: "\"") { return text }
            text.unicodeScalars.append(try parseEscape())
            runStart = position
        }
    }

    mutating func parseEscape() throws(JSONProblem) -> Unicode.Scalar {
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

    mutating func parseUnicodeEscape() throws(JSONProblem) -> Unicode.Scalar {
        let unit = try parseFourDigits()
        if let scalar = Unicode.Scalar(unit) { return scalar }
        // A surrogate: valid only as the first half of a pair.
        guard unit < 0xDC00, take("\\"), take("u") else { throw problem("half of a surrogate pair") }
        let low = try parseFourDigits()
        guard (0xDC00..<0xE000).contains(low),
            let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
        else { throw problem("half of a surrogate pair") }
        return scalar
    }

    mutating func parseFourDigits() throws(JSONProblem) -> UInt32 {
        guard bytes.count - position >= 4 else { throw problem("a short \\u escape") }
        let digits = String(decoding: bytes[position..<position + 4], as: UTF8.self)
        guard digits.utf8.allSatisfy({ $0 != UInt8(ascii: "+") }), let value = UInt32(digits, radix: 16) else {
            throw problem("a \\u escape without four hexadecimal digits")
        }
        position += 4
        return value
    }
}

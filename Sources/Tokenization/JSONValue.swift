/// One value of a JSON text.
///
/// Strings and keys stay bytes. `JSONDecoder` would hand the vocabulary over as `[String: Int]`, and Swift compares
/// strings by canonical equivalence: "é" written as one scalar and as two would be one key, and a token would be lost.
enum JSONValue {
    case null
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case string(ArraySlice<UInt8>)
    case array([JSONValue])
    case object([JSONMember])
}

/// One key of a JSON object and its value.
///
/// Keys keep their order; a key may occur twice, and the user decides.
struct JSONMember {
    let key: ArraySlice<UInt8>
    let value: JSONValue
}

/// Why a text is not JSON, and where.
struct JSONError: Error {
    let offset: Int
    let reason: String
}

/// A strict, bounds-checked reader of JSON (RFC 8259) over bytes that are known to be UTF-8.
struct JSONReader {
    /// Which texts are taken.
    enum Dialect {
        /// Those of the standard alone, as the reference library reads `tokenizer.json`.
        case standard
        /// Also NaN, Infinity and halves of surrogate pairs, as Python reads and writes configurations.
        case python
    }

    /// Deeper nesting than any tokenizer has, and shallow enough for the stack of a small thread.
    static let maximumDepth = 64

    private let bytes: [UInt8]
    private let dialect: Dialect
    private var position = 0
    private var depth = 0

    /// Reads the whole text as one value.
    static func read(_ bytes: [UInt8], _ dialect: Dialect = .standard) throws(JSONError) -> JSONValue {
        if let offset = firstInvalidUTF8(in: bytes) {
            throw JSONError(offset: offset, reason: "not UTF-8")
        }
        var reader = JSONReader(bytes: bytes, dialect)
        let value = try reader.value()
        reader.skipWhiteSpace()
        guard reader.position == bytes.count else { throw reader.error("something follows the value") }
        return value
    }

    private init(bytes: [UInt8], _ dialect: Dialect) {
        self.bytes = bytes
        self.dialect = dialect
    }

    private func error(_ reason: String) -> JSONError {
        JSONError(offset: position, reason: reason)
    }

    private var current: UInt8? {
        position < bytes.count ? bytes[position] : nil
    }

    private mutating func skipWhiteSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func take(_ byte: Character) -> Bool {
        guard current == byte.asciiValue else { return false }
        position += 1
        return true
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        skipWhiteSpace()
        switch current {
        case UInt8(ascii: "{"): return try nested { reader throws(JSONError) in try reader.object() }
        case UInt8(ascii: "["): return try nested { reader throws(JSONError) in try reader.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "N") where dialect == .python: return try word("NaN", .number(.nan))
        case UInt8(ascii: "I") where dialect == .python: return try word("Infinity", .number(.infinity))
        case .some: return try number()
        case nil: throw error("the text ends where a value should be")
        }
    }

    private mutating func nested(
        _ body: (inout JSONReader) throws(JSONError) -> JSONValue
    ) throws(JSONError) -> JSONValue {
        guard depth < Self.maximumDepth else { throw error("nested deeper than \(Self.maximumDepth) levels") }
        depth += 1
        position += 1
        let value = try body(&self)
        depth -= 1
        return value
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let end = position + word.utf8CodeUnitCount
        let matches = word.withUTF8Buffer { end <= bytes.count && bytes[position..<end].elementsEqual($0) }
        guard matches else { throw error("not a value") }
        position = end
        return value
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        var members: [JSONMember] = []
        skipWhiteSpace()
        if take("}") { return .object(members) }
        repeat {
            skipWhiteSpace()
            guard current == UInt8(ascii: "\"") else { throw error("a key must be a string") }
            let key = try string()
            skipWhiteSpace()
            guard take(":") else { throw error("expected ':'") }
            members.append(JSONMember(key: key, value: try value()))
            skipWhiteSpace()
        } while take(",")
        guard take("}") else { throw error("expected ',' or '}'") }
        return .object(members)
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        var elements: [JSONValue] = []
        skipWhiteSpace()
        if take("]") { return .array(elements) }
        repeat {
            elements.append(try value())
            skipWhiteSpace()
        } while take(",")
        guard take("]") else { throw error("expected ',' or ']'") }
        return .array(elements)
    }

    /// Strings without escapes, nearly all of a vocabulary, stay slices of the file: no allocation for each.
    private mutating func string() throws(JSONError) -> ArraySlice<UInt8> {
        position += 1
        let start = position
        while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
            position += 1
        }
        if take("\"") { return bytes[start..<position - 1] }
        var text = Array(bytes[start..<position])
        while let byte = current {
            if take("\"") { return text[...] }
            if take("\\") {
                try escape(into: &text)
            } else if byte < 0x20 {
                throw error("control character in a string")
            } else {
                text.append(byte)
                position += 1
            }
        }
        throw error("the text ends inside a string")
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        guard let byte = current else { throw error("the text ends inside a string") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if code & 0xFC00 == 0xD800, bytes[position...].starts(with: "\\u".utf8) {
                position += 2
                let low = try hexadecimal()
                if low & 0xFC00 == 0xDC00 {
                    code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
                } else {
                    try append(code, to: &text)
                    code = low
                }
            }
            try append(code, to: &text)
        default:
            throw error("unknown escape")
        }
    }

    /// Half of a pair, which UTF-8 cannot hold, becomes U+FFFD where it is taken.
    private func append(_ code: UInt32, to text: inout [UInt8]) throws(JSONError) {
        guard let scalar = Unicode.Scalar(code) ?? (dialect == .python ? "\u{FFFD}" : nil) else {
            throw error("half of a surrogate pair")
        }
        text.append(contentsOf: scalar.utf8)
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = current, let digit = hexadecimalDigit(byte) else {
                throw error("expected four hexadecimal digits")
            }
            code = (code << 4) + UInt32(digit)
            position += 1
        }
        return code
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        if take("-"), dialect == .python, current == UInt8(ascii: "I") {
            return try word("Infinity", .number(-.infinity))
        }
        let leadingZero = current == UInt8(ascii: "0")
        let digitCount = skipDigits()
        guard digitCount == 1 || (digitCount > 1 && !leadingZero) else {
            throw JSONError(offset: start, reason: "not a value")
        }
        var isInteger = true
        if take(".") {
            isInteger = false
            guard skipDigits() > 0 else { throw error("expected a digit") }
        }
        if take("e") || take("E") {
            isInteger = false
            if !take("+") { _ = take("-") }
            guard skipDigits() > 0 else { throw error("expected a digit") }
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger, let integer = Int(text) { return .integer(integer) }
        guard let number = Double(text) else { throw error("not a number") }
        return .number(number)
    }

    private mutating func skipDigits() -> Int {
        let start = position
        while let byte = current, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { position += 1 }
        return position - start
    }
}

/// The value of a hexadecimal digit in ASCII.
func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}

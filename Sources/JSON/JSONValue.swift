import Messages

/// A JSON text, with members in their order and numbers as they are spelled.
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
    /// Members in the order of the text.
    case object([JSONMember])

    /// Parses a whole JSON text (RFC 8259) in UTF-8.
    ///
    /// - Parameters:
    ///   - bytes: the text.
    ///   - dialect: what it may hold.
    ///   - maximumDepth: how deep arrays and objects may be nested; each level takes some of the stack.
    /// - Throws: `JSONProblem` with the byte offset, for bad syntax, invalid UTF-8, deeper nesting, bytes after the value,
    ///   or what the dialect refuses.
    public init(
        parsing bytes: UnsafeRawBufferPointer, as dialect: JSONDialect, maximumDepth: Int = 128
    ) throws(JSONProblem) {
        var parser = JSONParser(bytes: bytes, dialect: dialect, maximumDepth: maximumDepth)
        self = try parser.parseText()
    }

    /// Parses an array of bytes in the same way.
    public init(parsing bytes: [UInt8], as dialect: JSONDialect, maximumDepth: Int = 128) throws(JSONProblem) {
        self = try bytes.withUnsafeBufferPointer { (buffer) throws(JSONProblem) in
            try JSONValue(parsing: UnsafeRawBufferPointer(buffer), as: dialect, maximumDepth: maximumDepth)
        }
    }

    /// The value of the member `name` of an object, the last one if there are several; nil for anything else.
    ///
    /// Names are compared by their bytes, because Swift takes canonically equivalent strings for equal.
    public subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.name.utf8.elementsEqual(name.utf8) }?.value
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

    /// The value of a number without a fraction, however it is spelled; nil for anything else.
    ///
    /// With a decimal point or an exponent, a number must be below 10¹⁵, where a `Double` is exact.
    public var wholeNumber: Int? {
        if let value = integerValue { return value }
        guard let number = numberValue, number.rounded() == number, abs(number) < 1e15 else { return nil }
        return Int(number)
    }

    /// The value of a number, infinite if it is too large for a `Double`; nil for anything else.
    public var numberValue: Double? {
        guard case .number(let spelling) = self else { return nil }
        return Double(spelling)
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

    /// A short text for messages: a number as it is spelled, a string in quotes, and the kind of a list or an object.
    public var summary: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .number(let spelling): escaped(spelling)
        case .string(let text): quoted(text)
        case .array: "a list"
        case .object: "an object"
        }
    }

    /// Encodes `text` as a JSON string, with its quotes.
    public static func encoded(_ text: String) -> String {
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

/// What a text may hold besides what RFC 8259 advises.
public enum JSONDialect: Sendable {
    /// Nothing else, and no name may occur twice in an object.
    case strict
    /// What Rust's `serde_json` reads: of several members with one name the last counts.
    case serde
    /// What Python's `json` reads by default.
    ///
    /// NaN, Infinity and -Infinity are numbers; of several members with one name the last counts; half of a surrogate
    /// pair is a character, for which a Swift string has U+FFFD.
    case python
}

/// One name and its value in a JSON object.
public struct JSONMember: Equatable, Sendable {
    public let name: String
    public let value: JSONValue

    public init(name: String, value: JSONValue) {
        self.name = name
        self.value = value
    }
}

/// Where a text stops being JSON, and why.
public struct JSONProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// Bytes from the start of the text.
    public let offset: Int
    public let reason: String

    public var description: String { "\(reason) at byte \(offset)" }
}

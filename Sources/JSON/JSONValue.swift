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
    /// Members in the order of the text.
    case object([JSONMember])

    /// Parses a whole JSON text (RFC 8259), UTF-8.
    ///
    /// - Throws: `JSONProblem` with the byte offset: bad syntax, invalid UTF-8, nesting deeper than 128, bytes after the
    ///   value, or what the dialect refuses besides.
    public init(parsing bytes: UnsafeRawBufferPointer, as dialect: JSONDialect) throws(JSONProblem) {
        var parser = JSONParser(bytes: bytes, dialect: dialect)
        self = try parser.parseText()
    }

    /// The same for an array of bytes.
    public init(parsing bytes: [UInt8], as dialect: JSONDialect) throws(JSONProblem) {
        self = try bytes.withUnsafeBufferPointer { (buffer) throws(JSONProblem) in
            try JSONValue(parsing: UnsafeRawBufferPointer(buffer), as: dialect)
        }
    }

    /// The value of the member `name` of an object, the last one if there are several; nil for anything else.
    public subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.name == name }?.value
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

/// What a text may hold besides RFC 8259's grammar.
public enum JSONDialect: Sendable {
    /// Nothing, and no name may occur twice in one object.
    case strict
    /// What Python's `json` reads by default.
    ///
    /// NaN, Infinity and -Infinity are numbers; of members of one name the last counts; half of a surrogate pair is a
    /// character, which a Swift string holds as U+FFFD.
    case python
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

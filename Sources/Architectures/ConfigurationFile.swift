import Foundation

/// A model's `config.json`, read with checks: every number has a range, every fault names its key.
public struct ConfigurationFile: Sendable {
    private let values: [String: JSONValue]
    /// Where it came from, for messages.
    public let path: String
    /// Keys above this object, such as `rope_parameters.`.
    private let prefix: String

    public init(data: Data, path: String) throws(ConfigurationError) {
        guard !data.isNestedDeeply else { throw .malformed(path: path, reason: "it is not a JSON object") }
        do {
            values = try JSONDecoder().decode([String: JSONValue].self, from: data)
        } catch {
            throw .malformed(path: path, reason: "it is not a JSON object")
        }
        self.path = path
        prefix = ""
    }

    /// The objects of a JSON array.
    static func list(_ data: Data, path: String) throws(ConfigurationError) -> [ConfigurationFile] {
        do {
            return try JSONDecoder().decode([[String: JSONValue]].self, from: data).map {
                ConfigurationFile(values: $0, path: path, prefix: "")
            }
        } catch {
            throw .malformed(path: path, reason: "it is not a JSON array of objects")
        }
    }

    /// The same, under another name in messages.
    func renamed(_ path: String) -> ConfigurationFile { ConfigurationFile(values: values, path: path, prefix: "") }

    private init(values: [String: JSONValue], path: String, prefix: String) {
        self.values = values
        self.path = path
        self.prefix = prefix
    }

    /// Whether the key is there and not null.
    public func has(_ key: String) -> Bool {
        values[key].map { $0 != .null } ?? false
    }

    public func integer(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
        guard let value = try optionalInteger(key, in: range) else { throw missing(key) }
        return value
    }

    public func optionalInteger(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
        switch values[key] {
        case nil, .null: return nil
        case .integer(let value) where range.contains(value): return value
        case .number(let value) where value.rounded() == value && abs(value) < 1e15 && range.contains(Int(value)):
            return Int(value)
        case .some(let value): throw wrong(key, value, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
    }

    public func optionalNumber(_ key: String, in range: ClosedRange<Double>) throws(ConfigurationError) -> Double? {
        let number: Double
        switch values[key] {
        case nil, .null: return nil
        case .integer(let value): number = Double(value)
        case .number(let value): number = value
        case .some(let value): throw wrong(key, value, "a number")
        }
        guard range.contains(number) else {
            throw wrong(key, .number(number), "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    public func number(_ key: String, in range: ClosedRange<Double>) throws(ConfigurationError) -> Double {
        guard let value = try optionalNumber(key, in: range) else { throw missing(key) }
        return value
    }

    public func optionalBool(_ key: String) throws(ConfigurationError) -> Bool? {
        switch values[key] {
        case nil, .null: return nil
        case .bool(let value): return value
        case .some(let value): throw wrong(key, value, "true or false")
        }
    }

    public func optionalString(_ key: String) throws(ConfigurationError) -> String? {
        switch values[key] {
        case nil, .null: return nil
        case .string(let value): return value
        case .some(let value): throw wrong(key, value, "a string")
        }
    }

    public func optionalStrings(_ key: String) throws(ConfigurationError) -> [String]? {
        guard has(key), let value = values[key] else { return nil }
        guard case .array(let items) = value else { throw wrong(key, value, "a list of strings") }
        var strings: [String] = []
        for item in items {
            guard case .string(let text) = item else { throw wrong(key, value, "a list of strings") }
            strings.append(text)
        }
        return strings
    }

    /// One token id or a list of them.
    public func tokenIDs(_ key: String) throws(ConfigurationError) -> [Int] {
        let range = 0...Int(Int32.max)
        switch values[key] {
        case nil, .null: return []
        case .array(let items):
            var ids: [Int] = []
            for item in items {
                guard case .integer(let id) = item, range.contains(id) else { throw wrong(key, item, "a token id") }
                ids.append(id)
            }
            return ids
        default: return [try integer(key, in: range)]
        }
    }

    public func optionalObject(_ key: String) throws(ConfigurationError) -> ConfigurationFile? {
        switch values[key] {
        case nil, .null: return nil
        case .object(let object): return ConfigurationFile(values: object, path: path, prefix: prefix + key + ".")
        case .some(let value): throw wrong(key, value, "an object")
        }
    }

    /// An error that blames a key.
    public func unsupported(_ key: String, _ reason: String) -> ConfigurationError {
        .unsupported(path: path, key: prefix + key, reason: reason)
    }

    private func missing(_ key: String) -> ConfigurationError { .missingKey(path: path, key: prefix + key) }

    private func wrong(_ key: String, _ value: JSONValue, _ expected: String) -> ConfigurationError {
        let shown =
            switch value {
            case .null: "null"
            case .bool(let value): "\(value)"
            case .integer(let value): "\(value)"
            case .number(let value): "\(value)"
            case .string(let value): quoted(value)
            case .array: "a list"
            case .object: "an object"
            }
        return .malformed(path: path, reason: "\"\(prefix + key)\" is \(shown); it must be \(expected)")
    }
}

extension Data {
    /// Whether JSON has lists in lists beyond what any configuration has: decoding takes time that grows with the square.
    fileprivate var isNestedDeeply: Bool {
        var (depth, isText, isEscaped) = (0, false, false)
        for byte in self {
            if isText {
                (isText, isEscaped) = (
                    isEscaped || byte != UInt8(ascii: "\""), !isEscaped && byte == UInt8(ascii: "\\")
                )
            } else if byte == UInt8(ascii: "\"") {
                isText = true
            } else if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") {
                depth += 1
                if depth > 64 { return true }
            } else if byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}") {
                depth -= 1
            }
        }
        return false
    }
}

/// A string of the file for a message: no longer than a line, and no control characters on the reader's terminal.
func quoted(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(40))).debugDescription
}

/// What can be wrong with a model's configuration.
public enum ConfigurationError: Error, Equatable, CustomStringConvertible {
    case malformed(path: String, reason: String)
    case missingKey(path: String, key: String)
    case unsupported(path: String, key: String, reason: String)
    case unknownFamily(path: String, modelType: String, known: [String])

    public var description: String {
        switch self {
        case .malformed(let path, let reason):
            "\(path): \(reason)"
        case .missingKey(let path, let key):
            "\(path): the key \"\(key)\" is missing; the file may be cut short, or from another kind of model"
        case .unsupported(let path, let key, let reason):
            "\(path): \"\(key)\": \(reason)"
        case .unknownFamily(let path, let modelType, let known):
            "\(path): model_type \(quoted(modelType)) is not supported; supported are \(known.joined(separator: ", ")), and for plans those of sizing models"
        }
    }
}

import Foundation
import JSON
import Messages

/// A model's `config.json`, read with checks: every number has a range, every fault names its key.
///
/// The text is what Python programs write and read: of keys given twice the last counts, and NaN or Infinity are faults
/// only where they are read.
public struct ConfigurationFile: Sendable {
    private let values: [String: JSONValue]
    /// Where it came from, for messages.
    public let path: String
    /// Keys above this object, such as `rope_parameters.`.
    private let prefix: String

    public init(data: Data, path: String) throws(ConfigurationError) {
        if let hint = pointerHint(data.prefix(64)) { throw .malformed(path: path, reason: hint) }
        guard let members = try Self.parse(data, path: path).members else {
            throw .malformed(path: path, reason: "it is not a JSON object")
        }
        self.init(members, path: path, prefix: "")
    }

    /// The objects of a JSON array.
    static func list(_ data: Data, path: String) throws(ConfigurationError) -> [ConfigurationFile] {
        guard let elements = try parse(data, path: path).elements else {
            throw .malformed(path: path, reason: "it is not a JSON array")
        }
        return elements.compactMap(\.members).map { ConfigurationFile($0, path: path, prefix: "") }
    }

    /// The same, under another name in messages.
    func renamed(_ path: String) -> ConfigurationFile { ConfigurationFile(values: values, path: path, prefix: "") }

    private static func parse(_ data: Data, path: String) throws(ConfigurationError) -> JSONValue {
        do {
            return try JSONValue(parsing: [UInt8](data), as: .python)
        } catch {
            throw .malformed(path: path, reason: "it is not a JSON object: \(error)")
        }
    }

    private init(_ members: [JSONMember], path: String, prefix: String) {
        self.init(
            values: Dictionary(members.map { ($0.name, $0.value) }) { _, last in last }, path: path, prefix: prefix)
    }

    private init(values: [String: JSONValue], path: String, prefix: String) {
        self.values = values
        self.path = path
        self.prefix = prefix
    }

    /// Whether the key is there and not null.
    public func has(_ key: String) -> Bool { given(key) != nil }

    /// The keys whose values are not null, sorted.
    public var keys: [String] { values.keys.filter(has).sorted() }

    /// Whether the key's value is an object.
    public func isObject(_ key: String) -> Bool { values[key]?.members != nil }

    public func integer(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
        guard let value = try optionalInteger(key, in: range) else { throw missing(key) }
        return value
    }

    public func optionalInteger(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
        guard let value = given(key) else { return nil }
        guard let whole = value.wholeNumber, range.contains(whole) else {
            throw wrong(key, value, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return whole
    }

    public func optionalNumber(_ key: String, in range: ClosedRange<Double>) throws(ConfigurationError) -> Double? {
        guard let value = given(key) else { return nil }
        guard let number = value.number else { throw wrong(key, value, "a number") }
        // NaN is in no range.
        guard range.contains(number) else {
            throw wrong(key, value, "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    public func number(_ key: String, in range: ClosedRange<Double>) throws(ConfigurationError) -> Double {
        guard let value = try optionalNumber(key, in: range) else { throw missing(key) }
        return value
    }

    public func optionalBool(_ key: String) throws(ConfigurationError) -> Bool? {
        guard let value = given(key) else { return nil }
        guard let truth = value.boolValue else { throw wrong(key, value, "true or false") }
        return truth
    }

    public func optionalString(_ key: String) throws(ConfigurationError) -> String? {
        guard let value = given(key) else { return nil }
        guard let text = value.stringValue else { throw wrong(key, value, "a string") }
        return text
    }

    public func optionalStrings(_ key: String) throws(ConfigurationError) -> [String]? {
        guard let value = given(key) else { return nil }
        let strings = value.elements?.compactMap(\.stringValue)
        guard let strings, strings.count == value.elements?.count else { throw wrong(key, value, "a list of strings") }
        return strings
    }

    /// One token id or a list of them; -1, which older files write for none, is left out.
    public func tokenIDs(_ key: String) throws(ConfigurationError) -> [Int] {
        guard let value = given(key) else { return [] }
        let range = -1...Int(Int32.max)
        var ids: [Int] = []
        for item in value.elements ?? [value] {
            guard let id = item.wholeNumber, range.contains(id) else { throw wrong(key, item, "a token id") }
            if id >= 0 { ids.append(id) }
        }
        return ids
    }

    public func optionalObject(_ key: String) throws(ConfigurationError) -> ConfigurationFile? {
        guard let value = given(key) else { return nil }
        guard let members = value.members else { throw wrong(key, value, "an object") }
        return ConfigurationFile(members, path: path, prefix: prefix + key + ".")
    }

    /// The value of a key; nil where it is missing or null.
    private func given(_ key: String) -> JSONValue? {
        values[key].flatMap { $0 == .null ? nil : $0 }
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
            case .number(let spelling): escaped(spelling)
            case .string(let value): quoted(value)
            case .array: "a list"
            case .object: "an object"
            }
        return .malformed(path: path, reason: "\(quoted(prefix + key)) is \(shown); it must be \(expected)")
    }
}

extension JSONValue {
    /// The value of a number; nil for anything else.
    fileprivate var number: Double? {
        guard case .number(let spelling) = self else { return nil }
        return Double(spelling)
    }

    /// The value of a number without a fraction, however it is spelled; nil for anything else.
    fileprivate var wholeNumber: Int? {
        if let value = integerValue { return value }
        guard let number, number.rounded() == number, abs(number) < 1e15 else { return nil }
        return Int(number)
    }
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
            "\(escaped(path)): \(reason)"
        case .missingKey(let path, let key):
            "\(escaped(path)): the key \(quoted(key)) is missing; the file may be cut short, or from another kind of model"
        case .unsupported(let path, let key, let reason):
            "\(escaped(path)): \(quoted(key)): \(reason)"
        case .unknownFamily(let path, let modelType, let known):
            "\(escaped(path)): model_type \(quoted(modelType)) is not supported; supported are \(known.joined(separator: ", ")), and for plans those of sizing models"
        }
    }
}

import Foundation
import JSON
import Messages

/// A model's `config.json`, read with checks: every number has a range, and every error names its key.
///
/// The syntax is what Python programs write and read: the last of duplicate keys counts, and NaN or Infinity is an
/// error only if it is read.
public struct ConfigurationFile: Sendable {
    private typealias Field = JSONField<ConfigurationError>

    private let field: Field
    /// Values of keys that the file leaves out.
    private var defaults: [String: Int] = [:]
    /// Where it came from, for messages.
    public var path: String { field.file }

    public init(data: Data, path: String) throws(ConfigurationError) {
        if let hint = pointerHint(data.prefix(64)) { throw .malformed(path: path, reason: hint) }
        let value = try Self.parse(data, path: path)
        guard value.members != nil else { throw .malformed(path: path, reason: "it is not a JSON object") }
        field = Field(value, file: path)
    }

    /// The objects of a JSON array.
    static func list(_ data: Data, path: String) throws(ConfigurationError) -> [ConfigurationFile] {
        guard let elements = try parse(data, path: path).elements else {
            throw .malformed(path: path, reason: "it is not a JSON array")
        }
        return elements.filter { $0.members != nil }.map { ConfigurationFile(Field($0, file: path)) }
    }

    private init(_ field: Field) {
        self.field = field
    }

    /// The same values, under another name in messages.
    func renamed(_ path: String) -> ConfigurationFile { ConfigurationFile(Field(field.value, file: path)) }

    /// The same file with whole numbers for keys that it leaves out.
    func with(_ defaults: [String: Int]) -> ConfigurationFile {
        var file = self
        file.defaults = defaults
        return file
    }

    private static func parse(_ data: Data, path: String) throws(ConfigurationError) -> JSONValue {
        do {
            return try JSONValue(parsing: [UInt8](data), as: .python)
        } catch {
            throw .malformed(path: path, reason: "it is not a JSON object: \(error)")
        }
    }

    /// The field of a key; nil where it is missing or null.
    private func given(_ key: String) throws(ConfigurationError) -> Field? { try field[key].ifPresent }

    /// Whether the key is there and not null.
    public func has(_ key: String) -> Bool { field.value[key].map { $0 != .null } ?? (defaults[key] != nil) }

    /// Whether the key is there, though its value may be null.
    func contains(_ key: String) -> Bool { field.value[key] != nil }

    /// The keys whose values are not null, sorted.
    public var keys: [String] { Set((field.value.members ?? []).map(\.name)).filter(has).sorted() }

    /// Whether the key's value is an object.
    public func isObject(_ key: String) -> Bool { field.value[key]?.members != nil }

    public func integer(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
        if let value = try optionalInteger(key, in: range) { return value }
        return try field[key].integer(in: range)
    }

    public func optionalInteger(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
        try given(key)?.integer(in: range) ?? defaults[key]
    }

    public func number(_ key: String, in range: ClosedRange<Double>) throws(ConfigurationError) -> Double {
        try field[key].number(in: range)
    }

    public func optionalNumber(_ key: String, in range: ClosedRange<Double>) throws(ConfigurationError) -> Double? {
        try given(key)?.number(in: range)
    }

    public func optionalBool(_ key: String) throws(ConfigurationError) -> Bool? { try given(key)?.bool() }

    public func optionalString(_ key: String) throws(ConfigurationError) -> String? { try given(key)?.string() }

    /// A text of a few that are known; nil if the value is no text.
    func text(_ key: String, among known: [String]) throws(ConfigurationError) -> String? {
        guard let text = field.value[key]?.stringValue else { return nil }
        guard known.contains(text) else {
            throw unsupported(key, "\(quoted(text)) is not supported; supported are \(known.joined(separator: ", "))")
        }
        return text
    }

    public func optionalStrings(_ key: String) throws(ConfigurationError) -> [String]? {
        guard let found = try given(key) else { return nil }
        let strings = found.value.elements?.compactMap(\.stringValue)
        guard let strings, strings.count == found.value.elements?.count else {
            throw found.fault(expected: "a list of strings")
        }
        return strings
    }

    /// A list of numbers.
    public func numbers(_ key: String, in range: ClosedRange<Double>) throws(ConfigurationError) -> [Double] {
        let found = try field[key]
        let numbers = found.value.elements?.compactMap(\.numberValue).filter(range.contains)
        guard let numbers, numbers.count == found.value.elements?.count else {
            throw found.fault(expected: "a list of numbers from \(range.lowerBound) to \(range.upperBound)")
        }
        return numbers
    }

    /// Reads one token id or a list of them, and leaves out -1, which older files write for "none".
    public func tokenIDs(_ key: String) throws(ConfigurationError) -> [Int] {
        guard let found = try given(key) else { return [] }
        let range = -1...Int(Int32.max)
        var ids: [Int] = []
        for item in found.value.elements ?? [found.value] {
            guard let id = item.wholeNumber, range.contains(id) else {
                throw .malformed(
                    path: path, reason: "\(quoted(found.name)) is \(item.summary); it must be a token id")
            }
            if id >= 0 { ids.append(id) }
        }
        return ids
    }

    public func optionalObject(_ key: String) throws(ConfigurationError) -> ConfigurationFile? {
        guard let found = try given(key) else { return nil }
        guard found.value.members != nil else { throw found.fault(expected: "an object") }
        return ConfigurationFile(found)
    }

    /// An error that blames a key.
    public func unsupported(_ key: String, _ reason: String) -> ConfigurationError {
        .unsupported(path: path, key: field.name.isEmpty ? key : "\(field.name).\(key)", reason: reason)
    }
}

extension ConfigurationError: JSONFieldFailure {
    /// A key that is missing, or whose value is of the wrong kind or out of range.
    public init(_ fault: JSONFault) {
        self =
            fault.found == .null
            ? .missingKey(path: fault.file, key: fault.field)
            : .malformed(path: fault.file, reason: "\(quoted(fault.field)) \(fault.reason)")
    }
}

/// An error in a model's configuration.
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
            "\(escaped(path)): model_type \(quoted(modelType)) is none of the \(known.count) that are known, such as "
                + "\(known.prefix(8).joined(separator: ", ")); sizing models lists models of all of them"
        }
    }
}

/// A place in a JSON file: a value, the file and the names that lead to it, and what is expected there.
///
/// Every reading method checks the kind and the range of the value; what is wrong becomes the caller's own error with
/// the name of the field. A field that is missing and one that is null are the same.
public struct JSONField<Failure: JSONFieldFailure>: Sendable {
    /// What stands there; `null` for a member that the object does not have.
    public let value: JSONValue
    /// The file, as messages name it.
    public let file: String
    /// The names from the outermost object to this place, such as `rope_parameters.factor` or `layers[2].type`.
    ///
    /// Empty for the file's own value.
    public let name: String

    /// The outermost value of `file`.
    public init(_ value: JSONValue, file: String) {
        self.init(value, file: file, name: "")
    }

    private init(_ value: JSONValue, file: String, name: String) {
        self.value = value
        self.file = file
        self.name = name
    }

    /// Whether the field is missing or null.
    public var isAbsent: Bool { value == .null }

    /// This field, or nil if it is missing or null: `try field["size"].ifPresent?.integer(in: 1...8)`.
    public var ifPresent: JSONField? { isAbsent ? nil : self }

    /// The error that this field is not what it must be: `expected` completes "it must be".
    public func fault(expected: String) -> Failure {
        Failure(JSONFault(file: file, field: name, found: value, expected: expected))
    }

    /// A member of this object, of several with one name the last; a missing one is a field without a value.
    ///
    /// - Throws: if this is no object.
    public subscript(key: String) -> JSONField {
        get throws(Failure) {
            guard value.members != nil else { throw fault(expected: "an object") }
            return member(key, value[key] ?? .null)
        }
    }

    /// The members of this object as fields, in the file's order.
    public func members() throws(Failure) -> [(key: String, field: JSONField)] {
        guard let members = value.members else { throw fault(expected: "an object") }
        return members.map { ($0.name, member($0.name, $0.value)) }
    }

    /// The elements of this list as fields.
    public func elements() throws(Failure) -> [JSONField] {
        guard let elements = value.elements else { throw fault(expected: "a list") }
        return elements.enumerated().map { JSONField($1, file: file, name: "\(name)[\($0)]") }
    }

    /// This string.
    public func string() throws(Failure) -> String {
        guard let text = value.stringValue else { throw fault(expected: "a string") }
        return text
    }

    /// This truth value.
    public func bool() throws(Failure) -> Bool {
        guard let truth = value.boolValue else { throw fault(expected: "true or false") }
        return truth
    }

    /// This number without a fraction, which must be in the range.
    public func integer(in range: ClosedRange<Int>) throws(Failure) -> Int {
        guard let number = value.wholeNumber, range.contains(number) else {
            throw fault(expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// This number, which must be in the range; NaN is in none.
    public func number(in range: ClosedRange<Double>) throws(Failure) -> Double {
        guard let number = value.numberValue else { throw fault(expected: "a number") }
        guard range.contains(number) else {
            throw fault(expected: "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    private func member(_ key: String, _ value: JSONValue) -> JSONField {
        JSONField(value, file: file, name: name.isEmpty ? key : "\(name).\(key)")
    }
}

/// A module's error that can say what is wrong with a field.
public protocol JSONFieldFailure: Error {
    init(_ fault: JSONFault)
}

/// What is wrong with a field: it is missing, or it is not what it must be.
public struct JSONFault: Equatable, Sendable {
    /// The file, raw.
    public let file: String
    /// The names that lead to the field, raw; empty for the file's own value.
    public let field: String
    /// What stands there; `null` if the field is missing.
    public let found: JSONValue
    /// Completes "it must be".
    public let expected: String

    /// What follows the field's name in a message, such as `is "64"; it must be a whole number from 1 to 8`.
    public var reason: String {
        "\(found == .null ? "is missing" : "is \(found.summary)"); it must be \(expected)"
    }
}

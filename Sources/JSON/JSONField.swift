/// A value in a JSON file, together with the file and the names that lead to the value, for messages.
///
/// Every reading method checks the kind and the range of the value, and throws the caller's own type of error, which
/// names the field. A missing field is the same as one that is null.
public struct JSONField<Failure: JSONFieldFailure>: Sendable {
    /// The value; `null` for a member that the object does not have.
    public let value: JSONValue
    /// The file, as messages name it.
    public let file: String
    /// The names from the outermost object to this place, such as `rope_parameters.factor` or `layers[2].type`.
    ///
    /// It is empty for the file's outermost value.
    public let name: String

    /// Makes the field of a file's outermost value.
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

    /// The error for a field that is not what it must be; `expected` completes the sentence "it must be".
    public func fault(expected: String) -> Failure {
        Failure(JSONFault(file: file, field: name, found: value, expected: expected))
    }

    /// The member of this object with that name, the last one if there are several; absent if there is none.
    ///
    /// - Throws: `Failure` if this is not an object.
    public subscript(key: String) -> JSONField {
        get throws(Failure) {
            guard value.members != nil else { throw fault(expected: "an object") }
            return member(key, value[key] ?? .null)
        }
    }

    /// The members of this object, in the file's order.
    public func members() throws(Failure) -> [(key: String, field: JSONField)] {
        guard let members = value.members else { throw fault(expected: "an object") }
        return members.map { ($0.name, member($0.name, $0.value)) }
    }

    /// The elements of this list.
    public func elements() throws(Failure) -> [JSONField] {
        guard let elements = value.elements else { throw fault(expected: "a list") }
        return elements.enumerated().map { JSONField($1, file: file, name: "\(name)[\($0)]") }
    }

    /// The value, which must be a string.
    public func string() throws(Failure) -> String {
        guard let text = value.stringValue else { throw fault(expected: "a string") }
        return text
    }

    /// The value, which must be true or false.
    public func bool() throws(Failure) -> Bool {
        guard let truth = value.boolValue else { throw fault(expected: "true or false") }
        return truth
    }

    /// The value, which must be a number in the range without a fraction, however it is spelled.
    public func integer(in range: ClosedRange<Int>) throws(Failure) -> Int {
        guard let number = value.wholeNumber, range.contains(number) else {
            throw fault(expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// The value, which must be a number in the range; NaN is in no range.
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

/// An error of a module that reads JSON files: it can be made from what is wrong with a field.
public protocol JSONFieldFailure: Error {
    init(_ fault: JSONFault)
}

/// What is wrong with a field: it is missing, of the wrong kind, or out of range.
public struct JSONFault: Equatable, Sendable {
    /// The file, not escaped.
    public let file: String
    /// The names that lead to the field, not escaped; empty for the file's outermost value.
    public let field: String
    /// The value; `null` if the field is missing.
    public let found: JSONValue
    /// What completes the sentence "it must be".
    public let expected: String

    public init(file: String, field: String, found: JSONValue, expected: String) {
        self.file = file
        self.field = field
        self.found = found
        self.expected = expected
    }

    /// The rest of a message after the field's name, such as `is "64"; it must be a whole number from 1 to 8`.
    public var reason: String {
        "\(found == .null ? "is missing" : "is \(found.summary)"); it must be \(expected)"
    }
}

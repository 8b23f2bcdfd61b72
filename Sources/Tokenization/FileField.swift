import Glibc
import Messages

/// A place in a JSON file: a value, and the names with which an error can point at it.
struct FileField {
    let value: JSONValue
    let file: String
    let name: String

    /// Reads a file as one JSON value.
    init(contentsOf path: String, _ dialect: JSONReader.Dialect = .standard) throws(TokenizationError) {
        let bytes = try Self.read(path)
        if let hint = pointerHint(bytes.prefix(64)) { throw .malformed(path: path, field: "the file", reason: hint) }
        do {
            self.init(value: try JSONReader.read(bytes, dialect), file: path, name: "")
        } catch {
            throw .malformedJSON(path: path, offset: error.offset, reason: error.reason)
        }
    }

    /// The largest published file has 35 MB; a pipe or a device may never end.
    private static let longest = 1 << 30

    private static func read(_ path: String) throws(TokenizationError) -> [UInt8] {
        guard let file = fopen(path, "rbe") else {
            let code = errno
            throw code == ENOENT || code == ENOTDIR
                ? .missingFile(path: path) : .unreadableFile(path: path, reason: String(cString: strerror(code)))
        }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if ferror(file) != 0 { throw .unreadableFile(path: path, reason: String(cString: strerror(errno))) }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= longest else {
                throw .unreadableFile(path: path, reason: "it is longer than \(longest) bytes")
            }
        }
    }

    private init(value: JSONValue, file: String, name: String) {
        self.value = value
        self.file = file
        self.name = name
    }

    /// The error that this field does not say what it should.
    func malformed(_ reason: String) -> TokenizationError {
        .malformed(path: file, field: name.isEmpty ? "the file" : name, reason: reason)
    }

    /// The error that this field asks for something we lack.
    func unsupported(_ what: String) -> TokenizationError {
        .unsupported(path: file, field: name.isEmpty ? "the file" : name, what: what)
    }

    /// The file and the field, for a warning.
    var place: String { "\(file): \(name)" }

    /// Whether the field is missing or null.
    var isAbsent: Bool {
        if case .null = value { true } else { false }
    }

    /// A member of this object; a missing one reads as null.
    ///
    /// Of a key given twice the last counts, as for the reference and for Python.
    subscript(key: String) -> FileField {
        get throws(TokenizationError) {
            let member = try members().last { $0.key.elementsEqual(key.utf8) }
            return FileField(
                value: member?.value ?? .null, file: file, name: name.isEmpty ? key : "\(name).\(key)")
        }
    }

    /// The members of this object, in the file's order.
    func members() throws(TokenizationError) -> [JSONMember] {
        guard case .object(let members) = value else { throw malformed("expected an object") }
        return members
    }

    /// The elements of this array as fields; none if the field is absent.
    func elements() throws(TokenizationError) -> [FileField] {
        if isAbsent { return [] }
        guard case .array(let values) = value else { throw malformed("expected an array") }
        return values.enumerated().map { FileField(value: $1, file: file, name: "\(name)[\($0)]") }
    }

    /// The bytes of this string.
    func bytes() throws(TokenizationError) -> [UInt8] {
        guard case .string(let bytes) = value else { throw malformed("expected a string") }
        return Array(bytes)
    }

    /// The bytes of this string, nil if the field is absent or the string empty: writers use both for "none".
    func bytesIfPresent() throws(TokenizationError) -> [UInt8]? {
        if isAbsent { return nil }
        let bytes = try bytes()
        return bytes.isEmpty ? nil : bytes
    }

    /// This string.
    func string() throws(TokenizationError) -> String {
        String(decoding: try bytes(), as: UTF8.self)
    }

    /// This truth value, or `standard` if the field is absent.
    func boolean(or standard: Bool) throws(TokenizationError) -> Bool {
        if isAbsent { return standard }
        guard case .boolean(let truth) = value else { throw malformed("expected true or false") }
        return truth
    }

    /// This integer, which must be in the range.
    func integer(in range: ClosedRange<Int>) throws(TokenizationError) -> Int {
        guard case .integer(let integer) = value else { throw malformed("expected an integer") }
        guard range.contains(integer) else {
            throw malformed("\(integer) is not within \(range.lowerBound) to \(range.upperBound)")
        }
        return integer
    }

    /// Components of a `Sequence`, flattened; a component that is none is a list of one, an absent one of none.
    func flattened(membersOf list: String) throws(TokenizationError) -> [FileField] {
        if isAbsent { return [] }
        guard try self["type"].string() == "Sequence" else { return [self] }
        var components: [FileField] = []
        for element in try self[list].elements() { components += try element.flattened(membersOf: list) }
        return components
    }
}

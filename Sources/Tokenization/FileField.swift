import Glibc
import JSON
import Messages

/// A place in one of a tokenizer's files.
typealias FileField = JSONField<TokenizationError>

extension JSONField<TokenizationError> {
    /// How deep a file may be nested: deeper than any tokenizer is, and few enough levels for a small thread's stack.
    private static let maximumDepth = 64

    /// Reads a file as one JSON value.
    init(contentsOf path: String, _ dialect: JSONDialect = .serde) throws(TokenizationError) {
        try self.init(try readFile(path), path: path, dialect)
    }

    /// Takes the contents of a file as one JSON value.
    init(_ bytes: [UInt8], path: String, _ dialect: JSONDialect = .serde) throws(TokenizationError) {
        do {
            self.init(try JSONValue(parsing: bytes, as: dialect, maximumDepth: Self.maximumDepth), file: path)
        } catch {
            throw .malformedJSON(path: path, offset: error.offset, reason: error.reason)
        }
    }

    /// The error for a field that does not say what it should.
    func malformed(_ reason: String) -> TokenizationError {
        .malformed(path: file, field: shownName, reason: reason)
    }

    /// The error for a field that asks for something that is not implemented.
    func unsupported(_ what: String) -> TokenizationError {
        .unsupported(path: file, field: shownName, what: what)
    }

    private var shownName: String { name.isEmpty ? "the file" : name }

    /// The file and the field, for a warning.
    var place: String { "\(file): \(name)" }

    /// The bytes of this string.
    func bytes() throws(TokenizationError) -> [UInt8] { Array(try string().utf8) }

    /// The bytes of this string; nil if the field is absent or the string empty, since writers use both for "none".
    func bytesIfPresent() throws(TokenizationError) -> [UInt8]? {
        guard let bytes = try ifPresent?.bytes(), !bytes.isEmpty else { return nil }
        return bytes
    }

    /// This truth value, or `standard` if the field is absent.
    func bool(or standard: Bool) throws(TokenizationError) -> Bool { try ifPresent?.bool() ?? standard }

    /// The elements of this list; none if the field is absent.
    func elementsIfPresent() throws(TokenizationError) -> [FileField] { try ifPresent?.elements() ?? [] }

    /// The components of a `Sequence` and of those inside it; any other component alone; none if the field is absent.
    func flattened(membersOf list: String) throws(TokenizationError) -> [FileField] {
        if isAbsent { return [] }
        guard try self["type"].string() == "Sequence" else { return [self] }
        var components: [FileField] = []
        for element in try self[list].elementsIfPresent() { components += try element.flattened(membersOf: list) }
        return components
    }
}

extension TokenizationError: JSONFieldFailure {
    /// The error for a field of a tokenizer's file that is missing, of the wrong kind or out of range.
    public init(_ fault: JSONFault) {
        self = .malformed(
            path: fault.file, field: fault.field.isEmpty ? "the file" : fault.field, reason: "it \(fault.reason)")
    }
}

/// Bytes at which reading gives up: the largest published file has 35 MB, and a pipe or a device may never end.
private let longestFile = 1 << 30

/// The contents of a file.
///
/// - Throws: `missingFile`; `unreadableFile`; `malformed` for a pointer of Git LFS in the file's place.
func readFile(_ path: String) throws(TokenizationError) -> [UInt8] {
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
        if count == 0 { break }
        bytes += chunk[..<count]
        guard bytes.count <= longestFile else {
            throw .unreadableFile(path: path, reason: "it is longer than \(longestFile) bytes")
        }
    }
    if let hint = pointerHint(bytes.prefix(64)) { throw .malformed(path: path, field: "the file", reason: hint) }
    return bytes
}

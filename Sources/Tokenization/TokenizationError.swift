import Messages

/// What can be wrong with a tokenizer's file or with the text given to it.
public enum TokenizationError: Error, Equatable, Sendable {
    /// There is no file at this path.
    case missingFile(path: String)
    /// The file exists and cannot be read.
    case unreadableFile(path: String, reason: String)
    /// The file is not JSON; the offset is in bytes from its start.
    case malformedJSON(path: String, offset: Int, reason: String)
    /// The file is JSON, but this field does not say what a tokenizer needs.
    case malformed(path: String, field: String, reason: String)
    /// The file asks for something that this version does not implement.
    case unsupported(path: String, field: String, what: String)
    /// The text given is not UTF-8 from this byte on.
    case invalidUTF8(offset: Int)
    /// The text given is longer than the encoder can count.
    case textTooLong(byteCount: Int)
    /// A pattern of the tokenizer could not be matched within its limits of time and memory.
    case matchingFailed(pattern: String, reason: String)
}

extension TokenizationError {
    /// Whether a file is missing or cannot be read (exit status 66), as opposed to malformed (65).
    public var isMissingInput: Bool {
        switch self {
        case .missingFile, .unreadableFile: true
        case .malformedJSON, .malformed, .unsupported, .invalidUTF8, .textTooLong, .matchingFailed: false
        }
    }
}

extension TokenizationError: CustomStringConvertible {
    /// One line that says what failed, on what, and what to do.
    public var description: String {
        switch self {
        case .missingFile(let path):
            "\(escaped(path)): no such tokenizer\(unfoundHint(path)). Name a folder that holds tokenizer.json or another tokenizer file, or the file itself."
        case .unreadableFile(let path, let reason):
            "\(escaped(path)): cannot be read: \(escaped(reason))."
        case .malformedJSON(let path, let offset, let reason):
            "\(escaped(path)): not valid JSON at byte \(offset): \(escaped(reason)). The file may be damaged or cut short."
        case .malformed(let path, let field, let reason):
            "\(escaped(path)): \(escaped(field)): \(escaped(reason)). The file may be damaged or made for another model."
        case .unsupported(let path, let field, let what):
            "\(escaped(path)): \(escaped(field)): \(escaped(what)) is not supported by this version."
        case .invalidUTF8(let offset):
            "the text is not valid UTF-8 at byte \(offset). Convert it to UTF-8 first."
        case .textTooLong(let byteCount):
            "the text has \(byteCount) bytes, more than can be encoded at once. Split it."
        case .matchingFailed(let pattern, let reason):
            "the tokenizer's pattern \(quoted(pattern)) failed on this text: \(escaped(reason)). Try a shorter text."
        }
    }
}

import CPCRE2

/// A module or modules that a quantization configuration names, by a whole name or by a pattern after "re:".
///
/// Patterns are Python's and are matched from the start of a name (`re.match`). They are untrusted input: a pattern
/// that takes too many steps is an error, so that no program runs for ever.
public struct ModulePattern: Equatable, Sendable {
    /// The entry as written in the file.
    public let source: String
    /// The compiled pattern; nil for a whole name.
    private let code: CompiledPattern?

    /// Compiles an entry; nil if its pattern is invalid.
    public init?(_ entry: String) {
        source = entry
        guard entry.hasPrefix("re:") else {
            code = nil
            return
        }
        guard let code = CompiledPattern(Array(entry.utf8.dropFirst(3))) else { return nil }
        self.code = code
    }

    /// Whether the entry names a module, such as "model.layers.0.mlp.down_proj".
    ///
    /// - Throws: `PatternTooCostly`.
    public func matches(_ module: String) throws(PatternTooCostly) -> Bool {
        guard let code else { return source == module }
        guard let isMatch = code.matches(Array(module.utf8)) else { throw PatternTooCostly(source: source) }
        return isMatch
    }

    public static func == (first: ModulePattern, second: ModulePattern) -> Bool { first.source == second.source }
}

/// An error for a pattern that needs more steps on one name than any reasonable one does.
public struct PatternTooCostly: Error, Equatable, Sendable {
    /// The entry as written in the file.
    public let source: String
}

/// A pattern compiled by PCRE2.
///
/// It is Sendable although it holds a pointer, because compiled code is never written after compilation.
private final class CompiledPattern: @unchecked Sendable {
    private let code: OpaquePointer

    /// The number of steps that a match may take; reasonable patterns take some hundreds on a module's name.
    private static let stepLimit: UInt32 = 100_000

    init?(_ source: [UInt8]) {
        var status: Int32 = 0
        var offset = 0
        let options = PCRE2_UTF | PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C
        guard let code = pcre2_compile_8(source, source.count, options, &status, &offset, nil) else { return nil }
        self.code = code
    }

    deinit {
        pcre2_code_free_8(code)
    }

    /// Whether the pattern matches from the start of a name; nil if that takes too many steps.
    func matches(_ name: [UInt8]) -> Bool? {
        let matches = pcre2_match_data_create_8(1, nil)
        let context = pcre2_match_context_create_8(nil)
        defer {
            pcre2_match_data_free_8(matches)
            pcre2_match_context_free_8(context)
        }
        pcre2_set_match_limit_8(context, Self.stepLimit)
        let status = pcre2_match_8(code, name, name.count, 0, 0, matches, context)
        return status >= 0 ? true : status == PCRE2_ERROR_NOMATCH ? false : nil
    }
}

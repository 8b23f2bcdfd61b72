import CPCRE2

/// A compiled regular expression of a tokenizer file.
///
/// `@unchecked Sendable`: PCRE2 never writes to compiled code after compilation, and a match writes only to its
/// `PatternWorkspace`, which each encoding has for itself.
final class Pattern: @unchecked Sendable {
    /// The expression as it stands in the file, for messages.
    let source: String
    private let code: OpaquePointer

    /// Compiles an expression in Oniguruma's Ruby syntax.
    init(oniguruma source: [UInt8]) throws(PatternDialect.Refusal) {
        let translated = try PatternDialect.translate(source)
        let context = pcre2_compile_context_create_8(nil)
        defer { pcre2_compile_context_free_8(context) }
        pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
        let options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C
        var status: Int32 = 0
        var offset = 0
        guard let code = pcre2_compile_8(translated, translated.count, options, &status, &offset, context) else {
            throw PatternDialect.Refusal(reason: Self.message(status))
        }
        // If PCRE2 cannot compile for this processor, matching falls back to the interpreter.
        _ = pcre2_jit_compile_8(code, UInt32(PCRE2_JIT_COMPLETE))
        self.code = code
        self.source = String(decoding: source, as: UTF8.self)
    }

    deinit {
        pcre2_code_free_8(code)
    }

    /// Calls `body` with each match in the bytes of `text` in `range`, which are treated as a separate text.
    ///
    /// An empty match directly after another match does not count, as in Oniguruma's iterator.
    func forEachMatch(
        in text: [UInt8], _ range: Range<Int>, _ workspace: PatternWorkspace, _ body: (Range<Int>) -> Void
    ) throws(TokenizationError) {
        let count = range.count
        var from = 0
        var lastEnd: Int?
        while from <= count {
            guard let match = try match(in: text, range, from: from, workspace) else { return }
            if match.isEmpty, match.lowerBound == lastEnd {
                let next = range.lowerBound + from
                from += next < text.count ? utf8Length(startingWith: text[next]) : 1
                continue
            }
            body(range.lowerBound + match.lowerBound..<range.lowerBound + match.upperBound)
            // \K in a look-ahead can end a match before it starts; continuing from there would loop for ever.
            guard match.upperBound >= from else { return }
            from = match.upperBound
            lastEnd = match.upperBound
        }
    }

    private func match(
        in text: [UInt8], _ range: Range<Int>, from: Int, _ workspace: PatternWorkspace
    ) throws(TokenizationError) -> Range<Int>? {
        let status = text.withUnsafeBufferPointer { buffer in
            let subject = buffer.baseAddress.map { $0 + range.lowerBound }
            let run = { (options: UInt32) in
                pcre2_match_8(self.code, subject, range.count, from, options, workspace.matches, workspace.context)
            }
            let status = run(PCRE2_NO_UTF_CHECK)
            // The interpreter backtracks on the heap, so it can continue where compiled code runs out of stack.
            return status == PCRE2_ERROR_JIT_STACKLIMIT ? run(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT) : status
        }
        if status == PCRE2_ERROR_NOMATCH { return nil }
        guard status >= 0, let bounds = pcre2_get_ovector_pointer_8(workspace.matches), bounds[0] <= bounds[1] else {
            throw .matchingFailed(pattern: source, reason: Self.message(status))
        }
        return bounds[0]..<bounds[1]
    }

    private static func message(_ status: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let length = pcre2_get_error_message_8(status, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(0, Int(length))), as: UTF8.self)
    }
}

/// The memory that a match writes to, used by one encoding at a time.
final class PatternWorkspace {
    /// The most that the compiled code's stack may grow to; beyond that the interpreter takes over, see `match`.
    private static let stackByteCount = 16 << 20
    /// The heap that the interpreter may use before it fails, in units of 1024 bytes.
    private static let heapLimit: UInt32 = 1 << 20

    fileprivate let matches: OpaquePointer?
    fileprivate let context: OpaquePointer?
    private let stack: OpaquePointer?

    /// Allocates the memory; pages of the stack are touched only when they are used.
    init() {
        // One pair of offsets, because groups are not needed.
        matches = pcre2_match_data_create_8(1, nil)
        context = pcre2_match_context_create_8(nil)
        stack = pcre2_jit_stack_create_8(32 << 10, Self.stackByteCount, nil)
        pcre2_set_heap_limit_8(context, Self.heapLimit)
        pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack))
    }

    deinit {
        pcre2_match_data_free_8(matches)
        pcre2_match_context_free_8(context)
        pcre2_jit_stack_free_8(stack)
    }
}

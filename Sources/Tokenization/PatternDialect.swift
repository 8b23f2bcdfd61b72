/// Rewrites a regular expression in Oniguruma's Ruby syntax, which tokenizer files use, as one for PCRE2.
///
/// The two agree on most of the notation. Where one notation has two meanings, the expression is rewritten here; where
/// that would need more than one token of look-ahead, it is refused with a message that names the notation. With the
/// options UTF, UCP and MULTILINE (in Ruby `^` and `$` always match at line ends), the differences are:
///
///     \s \S     Oniguruma: the property White_Space. PCRE2 adds U+180E.
///     \w        Oniguruma: letters, marks, decimal digits, connectors. PCRE2 10.42: letters, all numbers, "_".
///     \b \B     the ends of words, by the same difference.
///     \h \H     Oniguruma: hexadecimal digits. PCRE2: horizontal space.
///     \uHHHH    a code point; an error in PCRE2.
///     (?m)      Oniguruma: the dot matches newlines, in PCRE2 (?s).
///     x{1,3}+   Oniguruma: (?:x{1,3})+. PCRE2: possessive.
///     x{,3}     Oniguruma: x{0,3}. PCRE2 10.42: plain text.
///     [a[b]]    Oniguruma: the union of the sets, [ab]. Negated sets inside sets, and intersections, are refused.
///
/// One difference remains: ignoring case, Oniguruma matches "ß" with `(?i:ss)`; PCRE2 folds single characters only.
///
/// Source: https://github.com/kkos/oniguruma/blob/master/doc/RE and `man pcre2pattern`.
struct PatternDialect {
    /// Why an expression cannot be rewritten.
    struct Refusal: Error {
        let reason: String
    }

    private static let space = #"\t-\r\x{85}\p{Z}"#
    private static let word = #"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"#
    private static let hexadecimal = "0-9A-Fa-f"

    private let source: [UInt8]
    private var position = 0
    private var output: [UInt8] = []
    /// The start of the last complete atom in the output, for a quantifier that must wrap it.
    private var atomStart = 0
    private var openGroups: [Int] = []

    /// Rewrites an expression for PCRE2.
    static func translate(_ source: [UInt8]) throws(Refusal) -> [UInt8] {
        var dialect = PatternDialect(source: source)
        while dialect.position < source.count { try dialect.takeElement() }
        return dialect.output
    }

    private init(source: [UInt8]) {
        self.source = source
    }

    private func peek(_ distance: Int = 0) -> UInt8? {
        position + distance < source.count ? source[position + distance] : nil
    }

    private func follows(_ text: StaticString) -> Bool {
        text.withUTF8Buffer { source[position...].starts(with: $0) }
    }

    private mutating func copy(_ count: Int = 1) {
        let end = min(position + count, source.count)
        output += source[position..<end]
        position = end
    }

    private mutating func emit(_ text: String) {
        output += text.utf8
    }

    private mutating func takeElement() throws(Refusal) {
        let byte = source[position]
        switch byte {
        case UInt8(ascii: "\\"):
            atomStart = output.count
            try takeEscape(insideSet: false)
        case UInt8(ascii: "["):
            atomStart = output.count
            try takeSet()
        case UInt8(ascii: "("):
            try takeGroupOpening()
        case UInt8(ascii: ")"):
            atomStart = openGroups.popLast() ?? output.count
            copy()
        case UInt8(ascii: "{"):
            try takeInterval()
        case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"):
            copy()
        default:
            atomStart = output.count
            copy(utf8Length(startingWith: byte))
        }
    }

    private mutating func takeEscape(insideSet: Bool) throws(Refusal) {
        guard let next = peek(1) else { throw Refusal(reason: "it ends in a backslash") }
        let w = "[\(Self.word)]"
        switch next {
        case UInt8(ascii: "s"): emit(insideSet ? Self.space : "[\(Self.space)]")
        // Inside a set, PCRE2's \S lacks only U+180E.
        case UInt8(ascii: "S"): emit(insideSet ? #"\S\x{180E}"# : "[^\(Self.space)]")
        case UInt8(ascii: "w"): emit(insideSet ? Self.word : "[\(Self.word)]")
        case UInt8(ascii: "h"): emit(insideSet ? Self.hexadecimal : "[\(Self.hexadecimal)]")
        case UInt8(ascii: "W") where !insideSet: emit("[^\(Self.word)]")
        case UInt8(ascii: "H") where !insideSet: emit("[^\(Self.hexadecimal)]")
        case UInt8(ascii: "b") where !insideSet: emit("(?:(?<=\(w))(?!\(w))|(?<!\(w))(?=\(w)))")
        case UInt8(ascii: "B") where !insideSet: emit("(?:(?<=\(w))(?=\(w))|(?<!\(w))(?!\(w)))")
        case UInt8(ascii: "W"), UInt8(ascii: "H"):
            throw Refusal(reason: "\\W or \\H inside a set")
        case UInt8(ascii: "u"):
            let digits = source[position...].dropFirst(2).prefix(4)
            guard digits.count == 4, digits.allSatisfy({ hexadecimalDigit($0) != nil }) else {
                throw Refusal(reason: "\\u needs four hexadecimal digits")
            }
            emit("\\x{\(String(decoding: digits, as: UTF8.self))}")
            position += 4
        // These are plain letters in Ruby's syntax; in PCRE2 they would start and end a quotation.
        case UInt8(ascii: "Q"), UInt8(ascii: "E"): output.append(next)
        default:
            copy(1 + utf8Length(startingWith: next))
            // The braces of \p{L} and \x{85} hold a name and a code, not a quantifier.
            if "pPx".utf8.contains(next), peek() == UInt8(ascii: "{") {
                guard let end = source[position...].firstIndex(of: UInt8(ascii: "}")) else {
                    throw Refusal(reason: "a name without its closing brace")
                }
                copy(end + 1 - position)
            }
            return
        }
        position += 2
    }

    private mutating func takeSet() throws(Refusal) {
        copy()
        if peek() == UInt8(ascii: "^") { copy() }
        if peek() == UInt8(ascii: "]") { copy() }
        var depth = 0
        while let byte = peek() {
            switch byte {
            case UInt8(ascii: "]") where depth > 0:
                depth -= 1
                position += 1
                guard peek() != UInt8(ascii: "-") else { throw Refusal(reason: "a range from a set inside a set") }
            case UInt8(ascii: "]"):
                copy()
                return
            case UInt8(ascii: "\\"):
                try takeEscape(insideSet: true)
            case UInt8(ascii: "["):
                if peek(1) == UInt8(ascii: ":"), let end = endOfPOSIXClass() {
                    copy(end - position)
                    continue
                }
                guard let first = peek(1), first != UInt8(ascii: "^"), first != UInt8(ascii: "]"),
                    output.last != UInt8(ascii: "-")
                else { throw Refusal(reason: "a set inside a set that is negated, empty or the end of a range") }
                depth += 1
                position += 1
            case UInt8(ascii: "&") where peek(1) == UInt8(ascii: "&"):
                throw Refusal(reason: "an intersection of sets (&&)")
            default:
                copy()
            }
        }
        throw Refusal(reason: "a set without its closing bracket")
    }

    private func endOfPOSIXClass() -> Int? {
        var index = position + 2
        while index + 1 < source.count, source[index] != UInt8(ascii: "]") {
            if source[index] == UInt8(ascii: ":"), source[index + 1] == UInt8(ascii: "]") { return index + 2 }
            index += 1
        }
        return nil
    }

    private mutating func takeGroupOpening() throws(Refusal) {
        // "(*" would let a file set PCRE2's own limits and options.
        guard !follows("(*") else { throw Refusal(reason: "a group that starts with \"(*\"") }
        let opening = output.count
        let isFirst = position == 0 || [UInt8(ascii: "("), UInt8(ascii: ":")].contains(source[position - 1])
        guard peek(1) == UInt8(ascii: "?"), let third = peek(2), isOption(third) else {
            copy()
            openGroups.append(opening)
            return
        }
        copy(2)
        while let byte = peek(), isOption(byte) {
            guard byte != UInt8(ascii: "x") else { throw Refusal(reason: "free spacing (?x)") }
            output.append(byte == UInt8(ascii: "m") ? UInt8(ascii: "s") : byte)
            position += 1
        }
        if peek() == UInt8(ascii: ")") {
            // In Ruby the rest of the group, with all its alternatives, becomes a separate group.
            guard isFirst else { throw Refusal(reason: "an option such as (?i) that is not first in its group") }
            copy()
        } else {
            guard peek() == UInt8(ascii: ":") else { throw Refusal(reason: "an unknown group option") }
            copy()
            openGroups.append(opening)
        }
    }

    private func isOption(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "i") || byte == UInt8(ascii: "m") || byte == UInt8(ascii: "x") || byte == UInt8(ascii: "-")
    }

    private mutating func takeInterval() throws(Refusal) {
        guard let end = source[position...].firstIndex(of: UInt8(ascii: "}")) else { return takeBrace() }
        let inside = source[position + 1..<end]
        let parts = inside.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        let isNumber = { (part: ArraySlice<UInt8>) in part.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } }
        guard parts.count <= 2, parts.allSatisfy(isNumber), inside.contains(where: { $0 != UInt8(ascii: ",") }) else {
            return takeBrace()
        }
        position = end + 1
        output.append(UInt8(ascii: "{"))
        if inside.first == UInt8(ascii: ",") { output.append(UInt8(ascii: "0")) }
        output += inside
        output.append(UInt8(ascii: "}"))
        guard peek() == UInt8(ascii: "+") else { return }
        output.insert(contentsOf: Array("(?:".utf8), at: atomStart)
        emit(")+")
        position += 1
    }

    private mutating func takeBrace() {
        atomStart = output.count
        emit("\\{")
        position += 1
    }
}

import Foundation
import Testing
import Tokenization

/// Expressions that mean one thing in Oniguruma's Ruby syntax, which tokenizer files use, and another in PCRE2's.
@Suite struct PatternDialectTests {
    /// The text with each match replaced by "|".
    private func marked(_ expression: String, _ text: String) throws -> String {
        let quote = { (text: String) in String(decoding: try JSONEncoder().encode(text), as: UTF8.self) }
        // Every scalar is a token, so that the tokens spell the normalized text.
        let entries = try Set((text + "|").unicodeScalars).enumerated().map { index, scalar in
            "\(try quote(String(Character(scalar)))): \(index)"
        }
        let normalizer = #"{"type": "Replace", "pattern": {"Regex": \#(try quote(expression))}, "content": "|"}"#
        let json = SmallTokenizer.json(
            vocabulary: "{\(entries.joined(separator: ", "))}", merges: "[]", fields: ", \"normalizer\": \(normalizer)")
        let tokenizer = try SmallTokenizer.load(json)
        return try tokenizer.encode(text, special: .off).map { tokenizer.piece(of: $0) ?? "" }.joined()
    }

    @Test(arguments: [
        // U+180E has not been white space since Unicode 6.3; U+0085 is.
        (#"\s"#, "a\u{85}b\u{180E}c\u{3000}d", "a|b\u{180E}c|d"), (#"[\s]"#, "a\u{180E}\u{A0}", "a\u{180E}|"),
        (#"\S"#, "\u{180E} \u{85}", "| \u{85}"), (#"[^\S\n]"#, " \n\u{180E}", "|\n\u{180E}"),
        // Marks and connectors belong to words; superscripts and fractions do not.
        (#"\w+"#, "e\u{301}_\u{203F}2 \u{B2}", "| \u{B2}"),
        (#"[\w]"#, "\u{24B6}\u{BD}", "|\u{BD}"), (#"\W"#, "a\u{BD}", "a|"),
        (#"1\b"#, "1e\u{301} 1\u{301} 1", "1e\u{301} 1\u{301} |"), (#"\B1"#, "e\u{301}1 1", "e\u{301}| 1"),
        (#"\h+"#, "xBad1 \t", "x| \t"), (#"[\h]"#, "g1", "g|"), (#"\u00e9"#, "é", "|"), (#"\x{e9}"#, "é", "|"),
        // Anchors match at lines, and (?m) changes the dot.
        (#"^a|a$"#, "a\na a", "|\n| |"), (#"a.b"#, "a\nb", "a\nb"), (#"(?m:a.b)"#, "a\nb", "|"),
        // Braces before "+" are repeated again; they are never possessive.
        (#"^(?:a{1,2}+ab)"#, "aaaab", "|"), (#"^(?:ab){2}+$"#, "abababab", "|"),
        (#"[a]{1,2}+[a]b"#, "aaaab", "|"), (#"ba{,2}"#, "baaa", "|a"), (#"a{x"#, "a{x", "|"), (#"a{,}"#, "a{,}", "|"),
        (#"(?i:'s)"#, "'S'\u{17F}", "||"), (#"\p{^L}"#, "a1", "a|"), (#"[[:digit:]]"#, "a1", "a|"),
        (#"\QE"#, "QE", "|"), (#"\p{N}{1,3}"#, "12345", "||"), (#"(?i)A"#, "a", "|"),
        // Sets inside sets, as in the pattern of BLOOM.
        (#" ?[^(\s|[.,!?…])]+"#, "ab, (cd) e…f", "|, (|)|…|"), (#"[a[bc[d]]e]+"#, "abcdef", "|f"),
        // An empty match right after a match does not count.
        (#"a*"#, "baac", "|b|c|"),
    ])
    func meansWhatOnigurumaMeans(_ expression: String, _ text: String, _ expected: String) throws {
        #expect(scalars(try marked(expression, text)) == scalars(expected), "\(expression)")
    }

    /// Backtracking that is too deep for the compiled code's stack still finds the answer.
    @Test func longBacktracking() throws {
        let text = String(repeating: "ab", count: 400_000)
        #expect(try marked(#"(?:a|b|ab)*c"#, "ababc") == "|")
        #expect(try marked(#"(?:ab|b)*"#, text) == "|")
    }
}

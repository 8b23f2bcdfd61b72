import Foundation
import Testing
import Tokenization

/// Cases that the golden tokenizers do not contain.
@Suite struct EncodingTests {
    @Test func refusesInvalidUTF8() throws {
        let tokenizer = try SmallTokenizer.load(SmallTokenizer.json())
        #expect(throws: TokenizationError.invalidUTF8(offset: 2)) {
            try tokenizer.encode(utf8: [0x61, 0x62, 0xC3, 0x28], special: .off)
        }
        #expect(throws: TokenizationError.invalidUTF8(offset: 1)) {
            try tokenizer.encode(utf8: [0x61, 0xED, 0xA0, 0x80], special: .off)
        }
        #expect(try tokenizer.encode(utf8: Array("abc".utf8), special: .off) == [TokenID(4)])
    }

    /// Swift takes the two spellings of "é" for equal, and so does a dictionary of strings.
    @Test func keepsCanonicallyEquivalentTokensApart() throws {
        let json = SmallTokenizer.json(
            vocabulary: "{\"\u{E9}\": 0, \"e\": 1, \"\u{301}\": 2, \"e\u{301}\": 3}", merges: "[\"e \u{301}\"]")
        #expect(try SmallTokenizer.ids("\u{E9}", json) == [0])
        #expect(try SmallTokenizer.ids("e\u{301}", json) == [3])
        let tokenizer = try SmallTokenizer.load(json)
        #expect(tokenizer.token(named: "\u{E9}") == TokenID(0))
        #expect(tokenizer.token(named: "e\u{301}") == TokenID(3))
        #expect(scalars(tokenizer.piece(of: TokenID(3)) ?? "") == [0x65, 0x301])
    }

    /// To Swift "\r\n" is one character; to a tokenizer it is two.
    @Test func takesCarriageReturnsApart() throws {
        let json = SmallTokenizer.json(vocabulary: #"{"\r": 0, "\n": 1, "a": 2}"#, merges: "[]")
        #expect(try SmallTokenizer.ids("a\r\na", json) == [2, 0, 1, 2])
    }

    @Test func unknownCharacters() throws {
        let unknown = #", "unk_token": "<unk>""#
        // Characters without a token vanish, and their neighbours can then merge, also "▁".
        let spaces = SmallTokenizer.json(vocabulary: #"{"▁": 0, "a": 1, "▁▁": 2}"#, merges: #"["▁ ▁"]"#)
        #expect(try SmallTokenizer.ids("a▁?▁a", spaces) == [1, 2, 1])
        #expect(try SmallTokenizer.ids("a??b", SmallTokenizer.json()) == [3])
        #expect(try SmallTokenizer.ids("a??b", SmallTokenizer.json(model: unknown)) == [0, 5, 5, 1])
        let fused = SmallTokenizer.json(model: unknown + #", "fuse_unk": true"#)
        #expect(try SmallTokenizer.ids("a??b?", fused) == [0, 5, 1, 5])
    }

    @Test func prefixesAndSuffixes() throws {
        let prefixed = SmallTokenizer.json(
            vocabulary: ###"{"a": 0, "##b": 1, "##c": 2, "ab": 3, "##bc": 4}"###, merges: ###"["a ##b"]"###,
            model: ###", "continuing_subword_prefix": "##""###)
        #expect(try SmallTokenizer.ids("abc", prefixed) == [3, 2])
        let suffixed = SmallTokenizer.json(
            vocabulary: #"{"a": 0, "b</w>": 1, "ab</w>": 2, "b": 3}"#, merges: #"["a b</w>"]"#,
            model: #", "end_of_word_suffix": "</w>""#)
        #expect(try SmallTokenizer.ids("ab", suffixed) == [2])
        #expect(try SmallTokenizer.ids("abb", suffixed) == [0, 3, 1])
    }

    @Test func mergesByRankAndThenFromTheLeft() throws {
        let json = SmallTokenizer.json(
            vocabulary: #"{"a": 0, "aa": 1, "aaa": 2, "b": 3, "ab": 4}"#, merges: #"["a b", "a a", "aa a"]"#)
        #expect(try SmallTokenizer.ids("aaab", json) == [1, 4])
        #expect(try SmallTokenizer.ids("aaaaa", json) == [1, 2])
    }

    /// A piece of 200,000 characters: a loop over all pairs for each merge would take hours.
    @Test func longPiecesAreNotQuadratic() throws {
        let tokens = try SmallTokenizer.load(SmallTokenizer.json())
            .encode(String(repeating: "abc", count: 70_000), special: .off)
        #expect(tokens == [TokenID](repeating: TokenID(4), count: 70_000))
    }

    @Test(arguments: [
        ("Removed", false, [0, 2]), ("Isolated", false, [0, 1, 1, 2]), ("MergedWithPrevious", false, [3, 1, 2]),
        ("MergedWithNext", false, [0, 1, 6]), ("Contiguous", false, [0, 7, 2]), ("Removed", true, [1, 1]),
    ])
    func splitBehaviors(_ behavior: String, _ isInverted: Bool, _ expected: [Int32]) throws {
        let json = SmallTokenizer.json(
            vocabulary: #"{"a": 0, "b": 1, "c": 2, "ab": 3, "abbc": 4, "abb": 5, "bc": 6, "bb": 7}"#,
            merges: #"["a b", "b c", "b b", "ab b", "abb c"]"#,
            fields: #"""
                , "pre_tokenizer": {"type": "Split", "pattern": {"String": "b"}, "behavior": "\#(behavior)",
                "invert": \#(isInverted)}
                """#)
        #expect(try SmallTokenizer.ids("abbc", json) == expected)
    }

    @Test(
        arguments: [
            (#"{"type": "Lowercase"}"#, "ABC", [4]), (#"{"type": "Strip"}"#, " \u{3000}abc\n", [4]),
            (#"{"type": "Strip", "strip_left": false}"#, "?abc ", [4]),
            (#"{"type": "StripAccents"}"#, "a\u{301}bc", [4]),
            (#"{"type": "Nmt"}"#, "a\u{1}b\u{7F}c", [4]), (#"{"type": "Nmt"}"#, "\tab\u{FEFF}", [3]),
            (#"{"type": "NFKC"}"#, "\u{FF41}\u{FF42}", [3]), (#"{"type": "NFD"}"#, "\u{E1}b", [3]),
            (#"{"type": "Replace", "pattern": {"Regex": "x+"}, "content": "b"}"#, "axxc", [4]),
        ] as [(String, String, [Int32])])
    func normalizers(_ normalizer: String, _ text: String, _ expected: [Int32]) throws {
        let json = SmallTokenizer.json(fields: #", "normalizer": \#(normalizer)"#)
        #expect(try SmallTokenizer.ids(text, json) == expected)
    }

    /// Texts for which Foundation's functions leave marks out of order or uncomposed, and Hangul.
    ///
    /// Expected values: Python's `unicodedata`, Unicode 14, except for characters that `tokenizers` 0.23.3 leaves alone.
    @Test(arguments: [
        ("NFC", "\u{1136A}\u{F75}", "\u{F71}\u{F74}\u{1136A}"), ("NFC", "\u{CC6}\u{CC2}\u{CD5}", "\u{CCB}"),
        ("NFD", "\u{CCB}", "\u{CC6}\u{CC2}\u{CD5}"), ("NFC", "\u{1112}\u{1161}\u{11AB}", "\u{D55C}"),
        ("NFD", "\u{D55C}", "\u{1112}\u{1161}\u{11AB}"), ("NFC", "\u{1E9B}\u{323}", "\u{1E9B}\u{323}"),
        ("NFKC", "\u{1E9B}\u{323}", "\u{1E69}"), ("NFKD", "\u{1E9B}\u{323}", "s\u{323}\u{307}"),
        ("NFC", "\u{958}", "\u{915}\u{93C}"), ("NFC", "a\u{301}\u{323}", "\u{1EA1}\u{301}"),
        // The reference's tables are older than the first character, and know the second.
        ("NFKC", "\u{32FF}\u{337B}", "\u{32FF}\u{5E73}\u{6210}"), ("NFD", "\u{11938}", "\u{11938}"),
        ("NFKC", "\u{FF76}\u{FF9E}", "\u{30AC}"), ("NFC", "\u{212B}", "\u{C5}"),
    ])
    func normalizationForms(_ form: String, _ text: String, _ normalized: String) throws {
        // Each scalar that can result is a token, so the tokens show the normalized text.
        let spelled = Set((text + normalized).unicodeScalars).sorted().enumerated()
        let vocabulary = spelled.map { "\"\($1)\": \($0)" }.joined(separator: ", ")
        let json = SmallTokenizer.json(
            vocabulary: "{\(vocabulary)}", merges: "[]", fields: #", "normalizer": {"type": "\#(form)"}"#)
        let tokenizer = try SmallTokenizer.load(json)
        let pieces = try tokenizer.encode(text, special: .off).map { tokenizer.piece(of: $0) ?? "" }
        #expect(scalars(pieces.joined()) == scalars(normalized))
    }

    /// `tokenizer_config.json` gives a token as its text or as an object, and may name one that does not exist.
    @Test(
        arguments: [
            (#"{"bos_token": "ab", "eos_token": {"content": "c", "special": true}}"#, 3, 2),
            (#"{"bos_token": null, "eos_token": "unheard of"}"#, nil, nil), ("{}", nil, nil),
        ] as [(String, Int32?, Int32?)])
    func namesTheFirstAndLastToken(_ configuration: String, _ begin: Int32?, _ end: Int32?) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tokenizer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(SmallTokenizer.json().utf8).write(to: folder.appending(path: "tokenizer.json"))
        try Data(configuration.utf8).write(to: folder.appending(path: "tokenizer_config.json"))
        for path in [folder.path(), folder.path() + "/tokenizer.json"] {
            let tokenizer = try Tokenizer(contentsOf: path)
            #expect(tokenizer.beginOfText == begin.map { TokenID($0) })
            #expect(tokenizer.endOfText == end.map { TokenID($0) })
        }
    }

    @Test func tellsAboutTokens() throws {
        let tokenizer = try Tokenizer(contentsOf: GoldenFiles.folder("llama3_bpe"))
        #expect(tokenizer.beginOfText == nil)
        #expect(tokenizer.vocabularySize == 1997)
        let begin = try #require(tokenizer.token(named: "<|begin_of_text|>"))
        #expect(begin == TokenID(1990))
        #expect(tokenizer.isSpecial(begin))
        #expect(!tokenizer.isSpecial(TokenID(0)))
        #expect(tokenizer.piece(of: TokenID(1997)) == nil)
        #expect(tokenizer.piece(of: TokenID(-1)) == nil)
    }
}

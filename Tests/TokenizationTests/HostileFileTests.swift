import Foundation
import Testing
import Tokenization

/// Files that are damaged or made to do harm: each is an error that says where, never a crash.
@Suite struct HostileFileTests {
    /// The error that loading such a file gives; nil if it loads.
    private func error(_ json: String) -> TokenizationError? {
        do {
            _ = try SmallTokenizer.load(json)
            return nil
        } catch {
            return error as? TokenizationError
        }
    }

    private func malformedField(_ json: String) -> String? {
        if case .malformed(_, let field, _) = error(json) { field } else { nil }
    }

    private func unsupported(_ json: String) -> String? {
        if case .unsupported(_, _, let what) = error(json) { what } else { nil }
    }

    @Test func loadsTheSoundFile() throws {
        #expect(try SmallTokenizer.ids("abcab", SmallTokenizer.json()) == [4, 3])
    }

    @Test(arguments: [
        #"{"a": -1}"#, #"{"a": 16777216}"#, #"{"a": 99999999999999999999}"#, #"{"a": 1.5}"#, #"{"a": "1"}"#,
        #"{"a": null}"#, #"{"a": 0, "b": 0}"#, #"{"a": 0, "a": 1}"#, "[]", "7",
    ])
    func refusesVocabulary(_ vocabulary: String) {
        #expect(malformedField(SmallTokenizer.json(vocabulary: vocabulary, merges: "[]")) == "model.vocab")
    }

    @Test(arguments: [
        #"["a x"]"#, #"["a b c"]"#, #"["ab"]"#, #"[["a"]]"#, #"[["a", "b", "c"]]"#, #"[["a", 1]]"#, "[1]", "{}",
        // Both are tokens, but what they make is none.
        #"["b c"]"#,
    ])
    func refusesMerges(_ merges: String) {
        #expect(malformedField(SmallTokenizer.json(merges: merges)) == "model.merges")
    }

    @Test(arguments: [
        (#""normalizer": {"type": "Magic"}"#, "the normalizer \"Magic\""),
        (#""pre_tokenizer": {"type": "Magic"}"#, "the pre-tokenizer \"Magic\""),
        (#""post_processor": {"type": "Magic"}"#, "the post-processor \"Magic\""),
        (#""decoder": {"type": "Sequence", "decoders": [{"type": "Magic"}]}"#, "the decoder \"Magic\""),
    ])
    func namesUnknownComponents(_ field: String, _ what: String) {
        #expect(unsupported(SmallTokenizer.json(fields: ", " + field)) == what)
    }

    @Test func namesUnknownModels() {
        #expect(unsupported(#"{"model": {"type": "WordPiece"}}"#) == "the model \"WordPiece\"")
        #expect(unsupported(SmallTokenizer.json(model: #", "dropout": 0.1"#)) == "dropping merges at random")
        #expect(malformedField(SmallTokenizer.json(model: #", "unk_token": "?""#)) == "model.unk_token")
    }

    @Test(arguments: [
        #"{"id": -1, "content": "x"}"#, #"{"id": 4294967296, "content": "x"}"#, #"{"id": 9}"#, #"{"content": "x"}"#,
    ])
    func refusesAddedTokens(_ token: String) {
        let field = malformedField(SmallTokenizer.json(fields: #", "added_tokens": [\#(token)]"#))
        #expect(field?.starts(with: "added_tokens[0]") == true)
    }

    @Test(arguments: [
        "[a&&[b]]", "[a[^b]]", "[a-[b]]", "[[a]-c]", "[[]a]", "[[a]", "(*LIMIT_MATCH=1)a", "(", "[", "\\", "a(?i)b",
        #"\p{Nonsense}"#, #"\u12"#,
    ])
    func refusesExpressions(_ expression: String) throws {
        let quoted = String(decoding: try JSONEncoder().encode(expression), as: UTF8.self)
        let split = #"{"type": "Split", "pattern": {"Regex": \#(quoted)}, "behavior": "Isolated"}"#
        #expect(
            unsupported(SmallTokenizer.json(fields: #", "pre_tokenizer": \#(split)"#))?.contains(expression) == true)
    }

    @Test func refusesTemplatesOfUnknownTokens() {
        let template = { (single: String, special: String) in
            malformedField(
                SmallTokenizer.json(
                    fields: #"""
                        , "post_processor": {"type": "TemplateProcessing", "single": \#(single),
                        "special_tokens": \#(special)}
                        """#))
        }
        let named = #"[{"SpecialToken": {"id": "s"}}, {"Sequence": {"id": "A"}}]"#
        #expect(template(named, #"{"s": {"ids": [0]}}"#) == nil)
        #expect(template(named, #"{"s": {"ids": [-1]}}"#) == "post_processor.special_tokens.s.ids[0]")
        #expect(template(named, "{}") == "post_processor.special_tokens.s")
        #expect(template("[]", "{}") == "post_processor.single")
    }

    @Test func stopsAtDeepNesting() {
        let depth = 100_000
        let nested = String(repeating: #"{"type": "Sequence", "normalizers": ["#, count: depth)
        guard case .malformedJSON(_, _, let reason) = error(#"{"normalizer": "# + nested) else {
            Issue.record("deep nesting must be refused")
            return
        }
        #expect(reason == "nested deeper than 64 levels")
    }

    /// Every way to cut a file short is an error.
    @Test func refusesCutFiles() {
        let json = SmallTokenizer.json(fields: #", "added_tokens": [{"id": 9, "content": "\u00e9\n"}]"#)
        for length in 0..<json.utf8.count {
            let cut = String(decoding: Array(json.utf8.prefix(length)), as: UTF8.self)
            #expect(error(cut) != nil, "\(cut)")
        }
        #expect(error(json) == nil)
    }

    @Test(arguments: [
        ("{\"a\": 01}", 6), ("{\"a\" 1}", 5), ("[1,]", 3), ("\"\\x\"", 3), ("\"\\ud800\"", 7), ("\"\u{1}\"", 1),
        ("[] []", 3), ("nul", 0), ("-", 0), ("1.", 2), ("[NaN]", 1), ("-Infinity", 0), ("\"\\ud800\\n\"", 7),
    ])
    func saysWhereJSONEnds(_ json: String, _ offset: Int) {
        guard case .malformedJSON(_, let found, _) = error(json) else {
            Issue.record("\(json) must be refused")
            return
        }
        #expect(found == offset, "\(json)")
    }

    @Test func refusesFilesThatAreNotUTF8() {
        #expect(throws: TokenizationError.self) { try SmallTokenizer.load(Data([0x7B, 0x22, 0xC3, 0x28, 0x22])) }
    }

    @Test func namesMissingFiles() {
        #expect(throws: TokenizationError.missingFile(path: "/nowhere/tokenizer.json")) {
            try Tokenizer(contentsOf: "/nowhere/tokenizer.json")
        }
    }
}

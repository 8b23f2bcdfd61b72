import Foundation
import Testing
import Tokenization

/// Inexact files that the reference library loads all the same.
///
/// The expected ids are those of `tokenizers` 0.23.3.
@Suite struct ReferenceLoadingTests {
    private static func added(_ id: Int, _ content: String, special: Bool = true) -> String {
        #"{"id": \#(id), "content": "\#(content)", "special": \#(special), "normalized": false}"#
    }

    private func json(_ added: [String], vocabulary: String? = nil, fields: String = "") -> String {
        let all = #", "added_tokens": [\#(added.joined(separator: ", "))]"# + fields
        guard let vocabulary else { return SmallTokenizer.json(fields: all) }
        return SmallTokenizer.json(vocabulary: vocabulary, merges: "[]", fields: all)
    }

    /// The id in the file is ignored: the vocabulary's counts, or else the next one after its size.
    @Test(
        arguments: [
            // The vocabulary has another id for this spelling.
            ([added(9, "ab"), added(7, "<s>")], "aabc<s>", [0, 3, 2, 6], 1),
            // The vocabulary has another spelling for this id.
            ([added(2, "<s>")], "a<s>bc", [0, 6, 1, 2], 1),
            ([added(9, "<s>")], "a<s>b", [0, 6, 1], 1),
            ([added(4_294_967_295, "<s>")], "a<s>b", [0, 6, 1], 1),
            // Two spellings have one id.
            ([added(6, "<s>"), added(6, "</s>")], "a<s>b</s>", [0, 6, 1, 7], 1),
            // One spelling occurs twice.
            ([added(6, "<s>"), added(7, "<s>"), added(8, "</s>")], "a<s>b</s>", [0, 6, 1, 7], 1),
            ([added(6, "<s>"), added(6, "<s>", special: false)], "a<s>b", [0, 6, 1], 0),
            ([added(7, "<t>"), added(6, "<s>")], "a<s>b<t>", [0, 7, 1, 6], 1),
            ([added(6, ""), added(6, "<s>")], "a<s>b", [0, 6, 1], 0),
        ] as [([String], String, [Int32], Int)])
    func numbersOfAddedTokens(_ added: [String], _ text: String, _ expected: [Int32], _ warnings: Int) throws {
        let tokenizer = try SmallTokenizer.load(json(added))
        #expect(try tokenizer.encode(text, special: .off).map(\.rawValue) == expected)
        #expect(tokenizer.warnings.count == warnings, "\(tokenizer.warnings)")
        #expect(tokenizer.warnings.allSatisfy { $0.contains("added_tokens[") && !$0.contains("\n") })
    }

    /// New ids start at the number of tokens, so that in a vocabulary with gaps some ids get two spellings.
    @Test func vocabulariesWithHoles() throws {
        let added = [Self.added(7, "<s>"), Self.added(8, "<t>"), Self.added(9, "<u>")]
        let tokenizer = try SmallTokenizer.load(json(added, vocabulary: #"{"a": 0, "b": 3, "c": 2}"#))
        #expect(try tokenizer.encode("a<s>b<t>c<u>", special: .off).map(\.rawValue) == [0, 3, 3, 4, 2, 5])
        #expect(tokenizer.piece(of: TokenID(3)) == "<s>")
        let known = [Self.added(1, "b"), Self.added(8, "<t>")]
        let high = json(known, vocabulary: #"{"a": 0, "b": 9, "c": 2}"#)
        #expect(try SmallTokenizer.ids("ab<t>c", high) == [0, 9, 3, 2])
        // A later token with the id of an earlier one replaces it.
        let taken = json(
            [Self.added(7, "<s>"), Self.added(3, "b", special: false)], vocabulary: #"{"a": 0, "b": 3, "c": 2}"#)
        #expect(try SmallTokenizer.ids("a<s>b", taken) == [0, 3])
        #expect(try SmallTokenizer.load(taken).piece(of: TokenID(3)) == "b")
    }

    /// A token is special if any entry with its spelling is.
    @Test(arguments: [[true, false], [false, true]]) func flagsOfOneContent(_ special: [Bool]) throws {
        let text = json(special.map { Self.added(6, "<s>", special: $0) })
        #expect(try SmallTokenizer.load(text).isSpecial(TokenID(6)))
        #expect(try SmallTokenizer.ids("a<s>b", text, special: .plain) == [3])
    }

    /// The first line of a merges file is not a rule, wherever a converter put it.
    @Test(arguments: [
        ##"["#version: 0.2 - Trained by", "a b", "ab c"]"##, ##"["a b", "#version: 0.2", ["ab", "c"]]"##,
    ])
    func versionAmongTheMerges(_ merges: String) throws {
        #expect(try SmallTokenizer.ids("abcab", SmallTokenizer.json(merges: merges)) == [4, 3])
    }

    /// The template's own numbers are put before a text.
    @Test func numbersOfTheTemplate() throws {
        let template = #"""
            , "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
            "special_tokens": {"<s>": {"ids": [9]}}}
            """#
        let text = json([Self.added(9, "<s>")], fields: template)
        #expect(try SmallTokenizer.ids("a<s>b", text, special: .on) == [9, 0, 6, 1])
    }

    /// `add_bos_token` and `add_eos_token` override the post-processor where they are set.
    @Test(
        arguments: [
            (#"{"bos_token": "c", "eos_token": "b"}"#, [5, 0], 0),
            (#"{"bos_token": "c", "add_bos_token": true}"#, [2, 0], 0),
            (#"{"bos_token": "c", "add_bos_token": false}"#, [0], 0),
            (#"{"bos_token": "c", "add_bos_token": null}"#, [5, 0], 0),
            (#"{"eos_token": {"content": "b"}, "add_eos_token": true}"#, [5, 0, 1], 0),
            (#"{"eos_token": "b", "add_bos_token": false, "add_eos_token": true}"#, [0, 1], 0),
            // JSON that only Python reads and writes.
            (#"{"bos_token": "a", "bos_token": "c", "add_bos_token": true}"#, [2, 0], 0),
            (#"{"x": [NaN, Infinity, -Infinity, 1e400], "add_bos_token": false}"#, [0], 0),
            (#"{"x": ["\ud800\n", "\ud800\u0041", {"\udc00": 1}], "add_bos_token": false}"#, [0], 0),
            (#"{"add_bos_token": true}"#, [0], 1), (#"{"bos_token": "?", "add_bos_token": true}"#, [0], 1),
        ] as [(String, [Int32], Int)])
    func switchesOfTheConfiguration(_ configuration: String, _ expected: [Int32], _ warnings: Int) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tokenizer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let template = #"""
            , "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<unk>"}}, {"Sequence": {"id": "A"}}],
            "special_tokens": {"<unk>": {"ids": [5]}}}
            """#
        try Data(SmallTokenizer.json(fields: template).utf8).write(to: folder.appending(path: "tokenizer.json"))
        try Data(configuration.utf8).write(to: folder.appending(path: "tokenizer_config.json"))
        let tokenizer = try Tokenizer(contentsOf: folder.path())
        #expect(try tokenizer.encode("a", special: .on).map(\.rawValue) == expected)
        #expect(try tokenizer.encode("a", special: .off).map(\.rawValue) == [0])
        #expect(tokenizer.warnings.count == warnings, "\(tokenizer.warnings)")
    }

    /// A folder, a device and a missing file give different errors.
    @Test func filesThatCannotBeRead() {
        func error(_ path: String) -> TokenizationError? {
            do {
                _ = try Tokenizer(contentsOf: path)
                return nil
            } catch {
                return error
            }
        }
        #expect(error("/nonesuch/tokenizer.json")?.isMissingInput == true)
        #expect(error("/dev/null")?.isMissingInput == false)
        let folder = FileManager.default.temporaryDirectory.appending(path: "tokenizer-\(UUID().uuidString)")
        let inner = folder.appending(path: "tokenizer.json")
        try? FileManager.default.createDirectory(at: inner, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        guard case .unreadableFile(_, let reason) = error(folder.path()) else {
            Issue.record("a folder in the place of the file must be refused")
            return
        }
        #expect(reason == "Is a directory")
    }
}

import Foundation
import Testing
import Tokenization

/// Files of other kinds than `tokenizer.json`, and what the files beside them say.
@Suite struct FileKindTests {
    private func ids(_ tokenizer: Tokenizer, _ text: String, _ special: Tokenizer.SpecialTokens = .off) throws
        -> [Int32]
    {
        try tokenizer.encode(text, special: special).map(\.rawValue)
    }

    /// `vocab.json` and `merges.txt` with the contents of a `tokenizer.json`.
    private func mergesFiles(of name: String) throws -> [String: String] {
        let file = URL(filePath: GoldenFiles.folder(name) + "/tokenizer.json")
        let object = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
        let model = try #require(object["model"] as? [String: Any])
        let vocabulary = try JSONSerialization.data(withJSONObject: try #require(model["vocab"]))
        let merges = try #require(model["merges"] as? [String])
        return [
            "vocab.json": String(decoding: vocabulary, as: UTF8.self),
            "merges.txt": "#version: 0.2\n" + merges.joined(separator: "\n") + "\n",
        ]
    }

    @Test(arguments: [("gpt2_bpe", "GPT2Tokenizer"), ("qwen2_bpe", "Qwen2TokenizerFast"), ("gpt2_bpe", nil)])
    func vocabularyAndMerges(name: String, className: String?) throws {
        var files = try mergesFiles(of: name)
        if let className { files["tokenizer_config.json"] = #"{"tokenizer_class": "\#(className)"}"# }
        let reference = try Tokenizer(contentsOf: GoldenFiles.folder(name))
        try withTemporaryFolder(files: files) { folder in
            let tokenizer = try Tokenizer(contentsOf: folder)
            var count = 0
            for item in try GoldenFiles.read([GoldenFiles.Case].self, GoldenFiles.folder(name), "cases.json") {
                // The added tokens of `tokenizer.json` are not in these files.
                let known = try reference.encode(item.text, special: .plain)
                guard known.allSatisfy({ Int($0.rawValue) < tokenizer.vocabularySize }) else { continue }
                count += 1
                #expect(try tokenizer.encode(item.text, special: .plain) == known, "\(item.text.debugDescription)")
                #expect(
                    tokenizer.decode(known, skippingSpecial: false) == reference.decode(known, skippingSpecial: false))
            }
            #expect(count > 100)
        }
    }

    /// CLIP's vocabulary has the same form and another meaning.
    @Test func refusesOtherClasses() throws {
        var files = try mergesFiles(of: "gpt2_bpe")
        files["tokenizer_config.json"] = #"{"tokenizer_class": "CLIPTokenizer"}"#
        #expect(throws: TokenizationError.self) {
            try withTemporaryFolder(files: files) { try Tokenizer(contentsOf: $0) }
        }
        #expect(throws: TokenizationError.self) {
            try withTemporaryFolder(linking: Self.unigram, as: "ice_text.model") { try Tokenizer(contentsOf: $0) }
        }
    }

    /// A rank file of the 256 bytes and some words, from rank 0 on.
    private static let words = ["ab", "abc", " a", "bc", "cab"]
    private static let ranks = ((0...255).map { [UInt8($0)] } + words.map { Array($0.utf8) }).map {
        Data($0).base64EncodedString()
    }

    private func tekken(specials: String) -> String {
        let vocabulary = Self.ranks.enumerated().map {
            #"{"rank": \#($0), "token_bytes": "\#($1)", "token_str": null}"#
        }
        return #"""
            {"config": {"pattern": "[a-z]+|[^a-z]", "num_vocab_tokens": 300, "default_vocab_size": 264,
            "default_num_special_tokens": 4, "version": "v3"}, "vocab": [\#(vocabulary.joined(separator: ", "))]\#(specials)}
            """#
    }

    /// Special tokens have the first ids, and tokens beyond the vocabulary's size are left out.
    @Test func tekkenFiles() throws {
        let specials = #"""
            , "special_tokens": [{"rank": 0, "token_str": "<unk>", "is_control": true},
            {"rank": 1, "token_str": "<s>", "is_control": true}, {"rank": 2, "token_str": "</s>", "is_control": true}]
            """#
        try withTemporaryFolder(files: ["tekken.json": tekken(specials: specials)]) { folder in
            let tokenizer = try Tokenizer(contentsOf: folder)
            #expect(try ids(tokenizer, "abc") == [261])
            #expect(try ids(tokenizer, "cab") == [4 + 0x63, 260])
            #expect(try ids(tokenizer, "ab</s>\n", .on) == [1, 260, 2, 14])
            #expect(try ids(tokenizer, "<s>", .plain) == [64, 119, 66])
            #expect(tokenizer.piece(of: TokenID(3)) == "<SPECIAL_3>")
            #expect(tokenizer.vocabularySize == 264)
            #expect(tokenizer.beginOfText == TokenID(1) && tokenizer.endOfText == TokenID(2))
        }
        // Old files list no special tokens, and more of them than this one has room for.
        #expect(throws: TokenizationError.self) {
            try withTemporaryFolder(files: ["tekken.json": tekken(specials: "")]) { try Tokenizer(contentsOf: $0) }
        }
    }

    private static let rankFile = ranks.enumerated().map { "\($1) \($0)\n" }.joined()

    @Test func rankFilesOfKnownFamilies() throws {
        try withTemporaryFolder(files: ["qwen.tiktoken": Self.rankFile]) { folder in
            let tokenizer = try Tokenizer(contentsOf: folder)
            #expect(try ids(tokenizer, "<|im_start|>ab<|extra_204|>") == [262, 256, 468])
            #expect(tokenizer.endOfText == TokenID(261))
            // The composed form of "e" and an acute accent.
            #expect(try ids(tokenizer, "e\u{301}") == [0xC3, 0xA9])
            // A special token counts only in the normalized text.
            #expect(try ids(tokenizer, "<|im_end|>\u{338}").count > 2)
            #expect(try ids(tokenizer, "12") == [0x31, 0x32])
        }
        try withTemporaryFolder(files: ["tokenizer.model": Self.rankFile]) { folder in
            let tokenizer = try Tokenizer(contentsOf: folder)
            #expect(try ids(tokenizer, "e\u{301} abc", .on) == [0x65, 0xCC, 0x81, 0x20, 257])
        }
    }

    private static let unigram = GoldenFiles.folder("small_unigram_spm") + "/tokenizer.model"

    /// ChatGLM's special tokens follow the pieces; two of their names are plain words.
    @Test func specialTokensOfChatGLM() throws {
        let files = ["tokenizer_config.json": #"{"tokenizer_class": "ChatGLMTokenizer"}"#]
        try withTemporaryFolder(linking: Self.unigram, files: files) { folder in
            let tokenizer = try Tokenizer(contentsOf: folder)
            let plain = try Tokenizer(contentsOf: Self.unigram)
            #expect(tokenizer.token(named: "[gMASK]") == TokenID(701) && tokenizer.token(named: "sop") == TokenID(703))
            let text = try ids(plain, "the sop")
            #expect(try ids(tokenizer, "the sop", .on) == [701, 703] + text)
            #expect(try ids(tokenizer, "<|user|>the sop") == [706] + text)
            #expect(
                tokenizer.decode([706, text[0], 706].map { TokenID($0) }, skippingSpecial: false)
                    == "<|user|>the<|user|>")
        }
    }

    /// Where special tokens cut a text, a space is put in front of each part, or only at the start.
    @Test func spacesAfterSpecialTokens() throws {
        let plain = try Tokenizer(contentsOf: Self.unigram)
        let (first, inner) = (try ids(plain, "the"), try ids(plain, "x the"))
        for (fields, expected) in [
            (#""legacy": true"#, first), (#""legacy": null"#, first),
            (#""legacy": false"#, try ids(plain, "x[INST]the").suffix(inner.count)),
        ] {
            let files = [
                "tokenizer_config.json":
                    #"{\#(fields), "bos_token": "<s>", "add_eos_token": true, "eos_token": "</s>"}"#
            ]
            try withTemporaryFolder(linking: Self.unigram, files: files) { folder in
                let tokenizer = try Tokenizer(contentsOf: folder)
                let found = try ids(tokenizer, "<s>the", .on)
                #expect(found.starts(with: [1, 1]) && found.last == 2)
                if fields.hasSuffix("false") {
                    #expect(tokenizer.piece(of: TokenID(found[2]))?.hasPrefix("▁") == false, "\(found) \(expected)")
                } else {
                    #expect(found == [1, 1] + expected + [2])
                }
            }
        }
    }

    @Test func tokensOfOtherFiles() throws {
        let files = [
            "added_tokens.json": #"{"<|im_start|>": 800, "<|im_end|>": 801}"#,
            "special_tokens_map.json":
                #"{"eos_token": {"content": "<|im_end|>", "rstrip": true}, "additional_special_tokens": ["<|im_start|>", "<new>"]}"#,
        ]
        try withTemporaryFolder(linking: Self.unigram, files: files) { folder in
            let tokenizer = try Tokenizer(contentsOf: folder)
            let found = try ids(tokenizer, "<|im_start|><|im_end|> <new>")
            #expect(found.first == 800 && found.last == 802 && found.contains(801))
            #expect(tokenizer.isSpecial(TokenID(800)) && tokenizer.isSpecial(TokenID(801)))
            #expect(
                try ids(tokenizer, "<|im_start|>", .plain)
                    == ids(try Tokenizer(contentsOf: Self.unigram), "<|im_start|>"))
        }
    }

    /// `tokenizer.json` is preferred, then `tokenizer.model`.
    @Test func orderOfPreference() throws {
        let files = ["tokenizer.json": SmallTokenizer.json(), "qwen.tiktoken": Self.rankFile]
        try withTemporaryFolder(linking: Self.unigram, files: files) { folder in
            #expect(try Tokenizer(contentsOf: folder).vocabularySize == 6)
            try FileManager.default.removeItem(atPath: folder + "/tokenizer.json")
            #expect(try Tokenizer(contentsOf: folder).vocabularySize == 700)
            try FileManager.default.removeItem(atPath: folder + "/tokenizer.model")
            #expect(try Tokenizer(contentsOf: folder).vocabularySize == 261 + 208)
            #expect(Tokenizer.isPresent(in: folder))
            try FileManager.default.removeItem(atPath: folder + "/qwen.tiktoken")
            #expect(!Tokenizer.isPresent(in: folder))
            #expect(throws: TokenizationError.missingFile(path: folder + "/tokenizer.json")) {
                try Tokenizer(contentsOf: folder)
            }
        }
    }
}

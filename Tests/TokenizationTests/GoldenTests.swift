import Testing
import Tokenization

/// Every case of every tokenizer, field by field, against the reference library.
@Suite struct GoldenTests {
    @Test(arguments: GoldenFiles.names)
    func encodesAndDecodesAsTheReference(name: String) throws {
        let folder = GoldenFiles.folder(name)
        try compareCases(try Tokenizer(contentsOf: folder), folder, atLeast: name.hasPrefix("small_") ? 120 : 130)
    }

    @Test(.enabled(if: !GoldenFiles.sharedNames.isEmpty), arguments: GoldenFiles.sharedNames)
    func encodesAndDecodesTheSharedCollection(name: String) throws {
        let folder = GoldenFiles.sharedFolder(name)
        guard name == "unigram_ident_spm" else {
            return try compareCases(try Tokenizer(contentsOf: folder), folder, atLeast: 145)
        }
        // The expected ids have a token at both ends, which a sentencepiece model by itself does not ask for.
        try withTemporaryFolder(
            linking: folder + "/tokenizer.model",
            files: ["tokenizer_config.json": #"{"add_bos_token": true, "add_eos_token": true}"#]
        ) { try compareCases(try Tokenizer(contentsOf: $0), folder, atLeast: 145) }
    }

    /// GLM-4 has its ranks in `tokenizer.model` and its special tokens in `tokenizer_config.json`.
    @Test func readsRankFilesByTheirContents() throws {
        let tokens = [(2005, "[gMASK]"), (2007, "<sop>"), (2010, "<|user|>")].map {
            #""\#($0)": {"content": "\#($1)", "special": true}"#
        }
        let configuration = """
            {"tokenizer_class": "ChatGLM4Tokenizer", "added_tokens_decoder": {\(tokens.joined(separator: ", "))}}
            """
        try withTemporaryFolder(
            linking: GoldenFiles.folder("qwen_tiktoken") + "/small.tiktoken", as: "tokenizer.model",
            files: ["tokenizer_config.json": configuration]
        ) { try compareCases(try Tokenizer(contentsOf: $0), GoldenFiles.folder("glm4_ranks"), atLeast: 120) }
    }

    private func compareCases(_ tokenizer: Tokenizer, _ folder: String, atLeast count: Int) throws {
        let cases = try GoldenFiles.read([GoldenFiles.Case].self, folder, "cases.json")
        #expect(cases.count >= count)
        let isTiktoken = folder.hasSuffix("tiktoken") || folder.hasSuffix("ranks")
        for item in cases {
            let label = "\(folder): \(item.text.debugDescription.prefix(60))"
            let expected = item.ids_nfc ?? item.ids
            let ids = try tokenizer.encode(item.text, special: .off)
            #expect(ids == expected, "ids of \(label)")
            let withSpecial = try tokenizer.encode(item.text, special: .on)
            #expect(withSpecial == item.ids_nfc ?? item.ids_with_special ?? item.ids, "ids_with_special of \(label)")
            let decoded = tokenizer.decode(item.ids, skippingSpecial: false)
            #expect(scalars(decoded) == scalars(item.decoded ?? item.text), "decoded of \(label)")
            // The library tiktoken has no way to skip special tokens.
            if let skipped = item.decoded_skip_special ?? (isTiktoken ? nil : item.text) {
                let skipping = tokenizer.decode(item.ids_with_special ?? item.ids, skippingSpecial: true)
                #expect(scalars(skipping) == scalars(skipped), "skipping of \(label)")
            }
            let plain = try tokenizer.encode(item.text, special: .plain)
            #expect(plain == item.ids_plain ?? expected, "ids_plain of \(label)")
            if let expected = item.decoded_plain {
                let decoded = tokenizer.decode(plain, skippingSpecial: false)
                #expect(scalars(decoded) == scalars(expected), "decoded_plain of \(label)")
            }
        }
    }

    /// Streams in which the reference library may differ from this one: it shows less, or takes text back.
    @Test(arguments: GoldenFiles.streamNames)
    func streamsWholeCharacters(name: String) throws {
        try compareStreams(GoldenFiles.folder(name))
    }

    @Test(
        .enabled(if: !GoldenFiles.sharedNames.isEmpty),
        arguments: GoldenFiles.sharedNames.filter { $0 != "gpt2_prefix_space" })
    func streamsTheSharedCollection(name: String) throws {
        try compareStreams(GoldenFiles.sharedFolder(name))
    }

    private func compareStreams(_ folder: String) throws {
        let tokenizer = try Tokenizer(contentsOf: folder)
        for item in try GoldenFiles.read([GoldenFiles.Stream].self, folder, "stream.json") {
            let label = "\(folder): \(item.note)"
            var stream = tokenizer.makeStream(skippingSpecial: false)
            let chunks = item.ids.map { stream.append($0) }
            let final = stream.finish()
            let decoded = tokenizer.decode(item.ids, skippingSpecial: false)
            #expect(scalars(decoded) == scalars(item.decoded), "\(label)")
            if item.final != nil {
                #expect(scalars(chunks.joined() + final) == scalars(item.decoded), "\(label)")
            }
            if item.note.starts(with: "valid") {
                #expect(chunks.map(scalars) == item.chunks.map(scalars), "\(label)")
                #expect(scalars(final) == scalars(item.final ?? ""), "\(label)")
            }
        }
    }

    @Test func encodesTheSameFromManyThreads() async throws {
        let tokenizer = try Tokenizer(contentsOf: GoldenFiles.folder("qwen2_bpe"))
        let cases = try GoldenFiles.read([GoldenFiles.Case].self, GoldenFiles.folder("qwen2_bpe"), "cases.json")
        let failures = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    cases.filter { (try? tokenizer.encode($0.text, special: .off)) != $0.ids }.count
                }
            }
            return await group.reduce(0, +)
        }
        #expect(failures == 0)
    }
}

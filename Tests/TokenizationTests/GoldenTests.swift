import Testing
import Tokenization

/// Every case of every tokenizer, field by field, against the reference library.
@Suite struct GoldenTests {
    @Test(arguments: GoldenFiles.names)
    func encodesAndDecodesAsTheReference(name: String) throws {
        let tokenizer = try Tokenizer(contentsOf: GoldenFiles.folder(name))
        let cases = try GoldenFiles.read([GoldenFiles.Case].self, name, "cases.json")
        #expect(cases.count >= 145)
        for item in cases {
            let label = "\(name): \(item.text.debugDescription.prefix(60))"
            let ids = try tokenizer.encode(item.text, special: .off)
            #expect(ids == item.ids, "ids of \(label)")
            let withSpecial = try tokenizer.encode(item.text, special: .on)
            #expect(withSpecial == item.ids_with_special ?? item.ids, "ids_with_special of \(label)")
            let decoded = tokenizer.decode(item.ids, skippingSpecial: false)
            #expect(scalars(decoded) == scalars(item.decoded ?? item.text), "decoded of \(label)")
            let skipping = tokenizer.decode(item.ids_with_special ?? item.ids, skippingSpecial: true)
            #expect(scalars(skipping) == scalars(item.decoded_skip_special ?? item.text), "skipping of \(label)")
            let plain = try tokenizer.encode(item.text, special: .plain)
            #expect(plain == item.ids_plain ?? item.ids, "ids_plain of \(label)")
            if let expected = item.decoded_plain {
                let decoded = tokenizer.decode(plain, skippingSpecial: false)
                #expect(scalars(decoded) == scalars(expected), "decoded_plain of \(label)")
            }
        }
    }

    /// Streams in which the reference library may differ from this one: it shows less, or takes text back.
    @Test(arguments: GoldenFiles.streamNames)
    func streamsWholeCharacters(name: String) throws {
        let tokenizer = try Tokenizer(contentsOf: GoldenFiles.folder(name))
        for item in try GoldenFiles.read([GoldenFiles.Stream].self, name, "stream.json") {
            var stream = tokenizer.makeStream(skippingSpecial: false)
            let chunks = item.ids.map { stream.append($0) }
            let final = stream.finish()
            let decoded = tokenizer.decode(item.ids, skippingSpecial: false)
            #expect(scalars(decoded) == scalars(item.decoded), "\(name): \(item.note)")
            if item.final != nil {
                #expect(scalars(chunks.joined() + final) == scalars(item.decoded), "\(name): \(item.note)")
            }
            if item.note.starts(with: "valid") {
                #expect(chunks.map(scalars) == item.chunks.map(scalars), "\(name): \(item.note)")
                #expect(scalars(final) == scalars(item.final ?? ""), "\(name): \(item.note)")
            }
        }
    }

    @Test func encodesTheSameFromManyThreads() async throws {
        let tokenizer = try Tokenizer(contentsOf: GoldenFiles.folder("qwen2_bpe"))
        let cases = try GoldenFiles.read([GoldenFiles.Case].self, "qwen2_bpe", "cases.json")
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

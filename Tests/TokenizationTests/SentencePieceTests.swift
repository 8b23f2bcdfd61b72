import Foundation
import Testing
import Tokenization

/// Sentencepiece models and rank files that the golden files do not contain, sound and hostile ones.
@Suite struct SentencePieceTests {
    /// A field of a message whose value is bytes, such as a text or a message inside.
    private static func field(_ number: Int, _ bytes: [UInt8]) -> [UInt8] {
        varint(UInt64(number << 3 | 2)) + varint(UInt64(bytes.count)) + bytes
    }

    private static func field(_ number: Int, _ value: UInt64) -> [UInt8] {
        varint(UInt64(number << 3)) + varint(value)
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var (rest, bytes) = (value, [UInt8]())
        while rest > 0x7F {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    private static func piece(_ spelling: [UInt8], _ score: Float = 0, _ kind: UInt64 = 1) -> [UInt8] {
        let bits = score.bitPattern
        let scoreBytes = [UInt8](stride(from: 0, to: 32, by: 8).map { UInt8(truncatingIfNeeded: bits >> UInt32($0)) })
        return field(1, field(1, spelling) + [2 << 3 | 5] + scoreBytes + field(3, kind))
    }

    private static func piece(_ spelling: String, _ score: Float = 0, _ kind: UInt64 = 1) -> [UInt8] {
        piece(Array(spelling.utf8), score, kind)
    }

    private static let reserved = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3)
    private static let bytePair = field(2, field(3, 2))
    private static let plain = field(3, field(3, 0) + field(4, 0))

    private func load(_ bytes: [UInt8], name: String = "tokenizer.model") throws -> Tokenizer {
        try withTemporaryFolder { folder in
            try Data(bytes).write(to: URL(filePath: folder + "/" + name))
            return try Tokenizer(contentsOf: folder)
        }
    }

    /// The field that the error names for such a file, and what is not supported in it; nil if it loads.
    private func fault(_ bytes: [UInt8], name: String = "tokenizer.model") -> String? {
        do {
            _ = try load(bytes, name: name)
            return nil
        } catch TokenizationError.malformed(_, let field, _) {
            return field
        } catch TokenizationError.unsupported(_, let field, let what) {
            return "\(field): \(what)"
        } catch {
            return "\(error)"
        }
    }

    private func ids(_ bytes: [UInt8], _ text: String, _ special: Tokenizer.SpecialTokens = .off) throws -> [Int32] {
        try load(bytes).encode(text, special: special).map(\.rawValue)
    }

    /// The highest score is joined first, and of equal ones the leftmost.
    @Test func joinsByScore() throws {
        let pieces = ["a", "b", "c"].flatMap { Self.piece($0, -9) }
        let unequal = Self.piece("ab", -2) + Self.piece("bc", -1)
        #expect(try ids(Self.reserved + pieces + unequal + Self.bytePair + Self.plain, "abc") == [3, 7])
        let equal = Self.piece("ab", -1) + Self.piece("bc", -1)
        #expect(try ids(Self.reserved + pieces + equal + Self.bytePair + Self.plain, "abcab") == [6, 5, 6])
    }

    /// A character without a piece takes part in joining if a longer piece has it; alone it is unknown.
    @Test func charactersWithoutPieces() throws {
        let pieces = Self.piece("a", -1) + Self.piece("xa", -2) + Self.piece("▁", -3)
        let model = Self.reserved + pieces + Self.bytePair + Self.plain
        #expect(try ids(model, "xa") == [4])
        #expect(try ids(model, "axx?x xa") == [3, 0, 5, 4])
        #expect(try load(model).decode([3, 0, 5, 4].map { TokenID($0) }, skippingSpecial: true) == "a \u{2047}  xa")
    }

    @Test func beginsTexts() throws {
        let model = Self.reserved + Self.piece("a") + Self.bytePair + Self.plain
        #expect(try ids(model, "a", .on) == [1, 3])
        #expect(try load(model).endOfText == TokenID(2))
        // The name of a control piece is plain text.
        #expect(try ids(model, "<s>a", .on) == [1, 0, 3])
    }

    @Test func refusesModels() {
        let sound = Self.reserved + Self.piece("a")
        #expect(fault(sound) == nil)
        #expect(fault([]) == "the file")
        #expect(fault(sound + Self.piece("a")) == "pieces")
        #expect(fault(sound + Self.piece("b", 0, 2)) == "pieces")
        #expect(fault(Self.piece("a")) == "pieces")
        #expect(fault(sound + Self.piece("b", .nan)) == "pieces[4].score")
        #expect(fault(sound + Self.piece("")) == "pieces[4].piece")
        #expect(fault(sound + Self.piece([0xC3, 0x28])) == "pieces[4].piece")
        #expect(fault(sound + Self.piece("b", 0, 7)) == "pieces[4].type: the type 7")
        #expect(fault(sound + Self.piece("<0x41>", 0, 6)) == "trainer_spec.byte_fallback")
        #expect(fault(sound + Self.field(2, Self.field(35, 1))) == "pieces")
        #expect(
            fault(sound + Self.field(2, Self.field(3, 3)))
                == "trainer_spec.model_type: a model of whole words or single characters")
        #expect(fault(sound + Self.field(2, Self.field(3, 9))) == "trainer_spec.model_type: the model type 9")
        #expect(
            fault(sound + Self.field(5, Self.field(2, [1]))) == "denormalizer_spec: a table for decoding")
        let unused = Self.piece("b") + Self.piece("ab", 0, 5) + Self.bytePair
        #expect(fault(sound + unused) == "pieces[5].type: a joined piece of the type UNUSED")
    }

    /// Lengths and kinds of fields that do not fit.
    @Test(
        arguments: [
            [0x0A], [0x0A, 0x05, 0x0A], [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], [0x0B],
            [0x00],
            [0x08] + [UInt8](repeating: 0xFF, count: 10), [0x09, 0x00], [0x15, 0x00, 0x00, 0x00],
        ] as [[UInt8]])
    func refusesMessages(_ bytes: [UInt8]) {
        #expect(fault(Self.reserved + bytes) == "the file")
        #expect(fault(Self.reserved + Self.field(3, bytes)) == "normalizer_spec")
    }

    /// Tables of replacements whose units lead out of them.
    @Test(
        arguments: [
            [], [1, 2, 3], [4, 0, 0, 0, 0, 0, 0, 0], [0xFF, 0xFF, 0xFF, 0xFF, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0, 0],
            // One unit that leads 2^21 units on, one that holds the place 7, and one whose replacement is not UTF-8.
            [4, 0, 0, 0, 0, 0, 0, 0x80, 0], [4, 0, 0, 0, 0, 2, 0, 0x40, 0], [4, 0, 0, 0, 0, 0, 0, 0, 0xC3, 0],
        ] as [[UInt8]])
    func refusesTables(_ table: [UInt8]) {
        let model = Self.reserved + Self.piece("a") + Self.field(3, Self.field(2, table))
        #expect(fault(model) == (table.isEmpty ? nil : "normalizer_spec.precompiled_charsmap"))
        let json = """
            {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "\(Data(table).base64EncodedString())"},
            "model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0]]}}
            """
        #expect(fault(Array(json.utf8), name: "tokenizer.json") == "normalizer.precompiled_charsmap")
    }

    @Test(arguments: [
        ("[]", "0", "model.vocab"), ("{}", "0", "model.vocab"), (#"[["a"]]"#, "0", "model.vocab"),
        (#"[["a", "b"]]"#, "0", "model.vocab"), (#"[["a", 1e999]]"#, "0", "model.vocab"),
        (#"[["a", 0]]"#, "1", "model.unk_id"), (#"[["a", 0]]"#, "-1", "model.unk_id"),
        (#"[["a", 0]]"#, "null", "model.unk_id"),
    ])
    func refusesUnigramModels(_ vocabulary: String, _ unknown: String, _ field: String) {
        let json = #"{"model": {"type": "Unigram", "unk_id": \#(unknown), "vocab": \#(vocabulary)}}"#
        #expect(fault(Array(json.utf8), name: "tokenizer.json") == field)
    }

    /// Of equal spellings the last one counts, and a run of unknown characters is one token.
    @Test func unigramModelsOfTokenizerFiles() throws {
        let json =
            #"{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["?", 0], ["a", -1], ["ab", -9], ["a", -2]]}}"#
        #expect(try SmallTokenizer.ids("aabxyza", json) == [3, 2, 0, 3])
    }

    private static let ranks = (0...255).map { "\(Data([UInt8($0)]).base64EncodedString()) \($0)" }

    @Test(
        arguments: [
            (nil, nil), ("YWI= 256", nil), ("YWI= 256\r", nil), ("YWI= 5", "the file"), ("AA== 256", "the file"),
            ("YWI 256", "line 257"), ("YWI= x", "line 257"), ("YWI=", "line 257"), ("YWI= -1", "line 257"),
            ("YWI= 99999999", "line 257"), ("YWI= 16777215", "the file"), ("YW=I 256", "line 257"),
            ("= 256", "line 257"),
        ] as [(String?, String?)])
    func rankFiles(_ line: String?, _ expected: String?) {
        let text = (Self.ranks + [line ?? ""]).joined(separator: "\n")
        #expect(fault(Array(text.utf8), name: "x.tiktoken") == expected)
        if line == nil {
            let short = Self.ranks.dropLast().joined(separator: "\n")
            #expect(fault(Array(short.utf8), name: "x.tiktoken") == "the file")
        }
    }

    @Test func refusesOtherFilesBeside() throws {
        let model = Self.reserved + Self.piece("a")
        for (name, text, expected) in [
            ("tokenizer_config.json", #"{"tokenizer_class": "NllbTokenizer"}"#, "tokenizer_class"),
            ("tokenizer_config.json", #"{"added_tokens_decoder": {"x": {"content": "b"}}}"#, "added_tokens_decoder.x"),
            (
                "tokenizer_config.json", #"{"added_tokens_decoder": {"9999999": {"content": "b"}}}"#,
                "added_tokens_decoder.9999999"
            ),
            ("added_tokens.json", #"{"b": -1}"#, "b"), ("special_tokens_map.json", #"{"eos_token": 5}"#, "eos_token"),
        ] {
            let found: String? = try withTemporaryFolder(files: [name: text]) { folder in
                try Data(model).write(to: URL(filePath: folder + "/tokenizer.model"))
                do throws(TokenizationError) {
                    _ = try Tokenizer(contentsOf: folder)
                    return nil
                } catch {
                    switch error {
                    case .malformed(_, let field, _), .unsupported(_, let field, _): return field
                    default: return "\(error)"
                    }
                }
            }
            #expect(found == expected, "\(text)")
        }
    }
}

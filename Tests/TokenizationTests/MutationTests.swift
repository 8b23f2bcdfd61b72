import Foundation
import TestSupport
import Testing
import Tokenization

/// Files of each kind with random damage: each loads or gives an error, and what loads works.
///
/// `TRIREME_MUTATIONS` sets how many files of each kind are damaged.
@Suite struct MutationTests {
    private static let count = ProcessInfo.processInfo.environment["TRIREME_MUTATIONS"].flatMap { Int($0) } ?? 150
    private static let texts = ["The <extra_0>\u{FB01}rst\n caf\u{E9} 123  \u{1F600}", "a<s>b <|im_start|>"]

    static let files = [
        "small_unigram_spm/tokenizer.model", "small_bpe_spm/tokenizer.model", "small_unigram_json/tokenizer.json",
        "qwen_tiktoken/small.tiktoken", "llama2_metaspace_json/tokenizer.json", "deepseek_v3_bpe/tokenizer.json",
    ]

    @Test(arguments: files)
    func damagedFiles(path: String) throws {
        let original = [UInt8](try Data(contentsOf: URL(filePath: GoldenFiles.folder(path))))
        let isText = !path.hasSuffix(".model")
        var random = SeededGenerator(seed: UInt64(path.utf8.count))
        var loaded = 0
        try withTemporaryFolder { folder in
            let file = URL(filePath: folder + "/" + (path as NSString).lastPathComponent)
            for _ in 0..<Self.count {
                var bytes = original
                for _ in 0...random.below(3) { damage(&bytes, isText: isText, &random) }
                try Data(bytes).write(to: file)
                do throws(TokenizationError) {
                    try use(try Tokenizer(contentsOf: file.path()), &random)
                    loaded += 1
                } catch {
                    #expect(!"\(error)".isEmpty)
                }
            }
        }
        // Damage inside a piece or a score leaves a sound file.
        #expect(loaded > 0)
    }

    private func use(_ tokenizer: Tokenizer, _ random: inout SeededGenerator) throws(TokenizationError) {
        for text in Self.texts {
            for special in Tokenizer.SpecialTokens.allCases {
                let tokens = try tokenizer.encode(text, special: special)
                _ = tokenizer.decode(tokens, skippingSpecial: false)
            }
        }
        let tokens = (0..<40).map { _ in TokenID(Int32(random.below(tokenizer.vocabularySize + 2)) - 1) }
        var stream = tokenizer.makeStream(skippingSpecial: true)
        for token in tokens { _ = stream.append(token) }
        _ = stream.finish()
        _ = tokenizer.decode(tokens, skippingSpecial: false)
    }

    private func damage(_ bytes: inout [UInt8], isText: Bool, _ random: inout SeededGenerator) {
        guard !bytes.isEmpty else { return }
        let start = random.below(bytes.count)
        let range = start..<min(bytes.count, start + 1 + random.below(random.below(20) == 0 ? 4000 : 12))
        switch random.below(isText ? 10 : 8) {
        case 0: bytes[start] ^= 1 << UInt8(random.below(8))
        case 1: bytes[start] = UInt8(random.below(256))
        case 2: bytes[start] = [0x00, 0x7F, 0x80, 0xFF, 0x22, 0x5C, 0x7B, 0x30][random.below(8)]
        case 3: bytes.removeSubrange(range)
        case 4: bytes.insert(contentsOf: bytes[range], at: random.below(bytes.count))
        case 5: bytes.insert(contentsOf: (0..<random.below(6)).map { _ in UInt8(random.below(256)) }, at: start)
        case 6: if random.below(10) == 0 { bytes.removeSubrange(start...) }
        case 7: for index in range { bytes[index] = UInt8(random.below(256)) }
        case 8:
            // A number becomes an extreme one.
            let isDigit = { (byte: UInt8) in (0x30...0x39).contains(byte) }
            guard let first = bytes[start...].firstIndex(where: isDigit) else { return }
            let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.count
            let numbers = ["-1", "0", "2147483648", "16777215", "9223372036854775808", "1e999", "0.5", "1048576"]
            bytes.replaceSubrange(first..<end, with: numbers[random.below(numbers.count)].utf8)
        default:
            let words = ["null", "true", "[]", "{}", "\"\"", "\"\\u0000\"", "[[[[", "\"Sequence\"", "\"\u{10FFFF}\""]
            bytes.replaceSubrange(range, with: words[random.below(words.count)].utf8)
        }
    }
}

extension SeededGenerator {
    /// A number from zero to one less than `bound`, which is at least 1.
    fileprivate mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
}

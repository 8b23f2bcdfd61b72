import Hashing
import Testing

@Suite struct HashingTests {
    /// Values of the authors' own test vectors.
    @Test(
        arguments: [
            ("", 0xCBF2_9CE4_8422_2325), ("a", 0xAF63_DC4C_8601_EC8C), ("foobar", 0x8594_4171_F739_67E8),
        ] as [(String, UInt64)])
    func fnvIsAsPublished(text: String, expected: UInt64) {
        var hash = FNV1a()
        for byte in text.utf8 { hash.add(byte) }
        #expect(hash.value == expected)
    }

    @Test func delimitedTextsDoNotRunIntoOneAnother() {
        func hash(_ texts: [String]) -> UInt64 {
            var hash = FNV1a()
            for text in texts { hash.add(delimited: text) }
            return hash.value
        }
        #expect(hash(["ab", "c"]) != hash(["a", "bc"]))
        #expect(hash(["", "a"]) != hash(["a", ""]))
    }

    @Test func wordHashesSeeEveryByte() {
        let texts = ["", "a", "b", "ab", "ba", "abcdefgh", "abcdefghi", "abcdefgi", "abcdefgh\0", "\0"]
        #expect(Set(texts.map { WordHash(of: $0).value }).count == texts.count)
    }
}

import Foundation
import Testing
import Tokenization

/// Decoders with sequences of tokens that the golden files do not contain.
@Suite struct DecodingTests {
    private static let decoder = #"""
        , "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
        """#
    /// "é" is C3 A9; 0x41 is "A".
    private static let json = SmallTokenizer.json(
        vocabulary: #"{"<0xC3>": 0, "<0xA9>": 1, "<0x41>": 2, "▁x": 3, "<0xFF>": 4}"#, merges: "[]", fields: decoder)

    @Test(
        arguments: [
            ([0, 1], "é"), ([2, 0, 1, 2], "AéA"), ([0], "\u{FFFD}"), ([0, 3], "\u{FFFD} x"), ([3, 0, 1, 3], "xé x"),
            // If a run is not UTF-8 as a whole, all of it is lost.
            ([2, 4, 2], "\u{FFFD}\u{FFFD}\u{FFFD}"), ([0, 0, 1, 3], "\u{FFFD}\u{FFFD}\u{FFFD} x"), ([99, 3], "x"),
        ] as [([Int32], String)])
    func byteRuns(_ ids: [Int32], _ text: String) throws {
        let tokenizer = try SmallTokenizer.load(Self.json)
        #expect(tokenizer.decode(ids.map { TokenID($0) }, skippingSpecial: false) == text)
    }

    @Test func streamsShowCharactersOfARunAtOnce() throws {
        var stream = try SmallTokenizer.load(Self.json).makeStream(skippingSpecial: false)
        #expect([3, 0, 1, 0].map { stream.append(TokenID($0)) } == ["x", "", "é", ""])
        #expect(stream.finish() == "\u{FFFD}")
    }

    @Test func joinsWithSpacesWhereThereIsNoDecoder() throws {
        let tokenizer = try SmallTokenizer.load(SmallTokenizer.json())
        #expect(tokenizer.decode([3, 2].map { TokenID($0) }, skippingSpecial: false) == "ab c")
    }

    @Test(
        arguments: [
            (#"{"type": "Strip", "content": "a", "start": 0, "stop": 1}"#, [0, 3, 0, 0], "aaba"),
            (#"{"type": "Replace", "pattern": {"String": "ca"}, "content": "-"}"#, [2, 0, 1, 2], "-bc"),
            (#"{"type": "Replace", "pattern": {"Regex": "a+"}, "content": "-"}"#, [1, 0, 0, 2], "b-c"),
        ] as [(String, [Int32], String)])
    func stepsAfterFuseSeeTheWholeText(_ step: String, _ ids: [Int32], _ text: String) throws {
        let fields = #", "decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, \#(step)]}"#
        let tokenizer = try SmallTokenizer.load(SmallTokenizer.json(fields: fields))
        let tokens = ids.map { TokenID($0) }
        #expect(tokenizer.decode(tokens, skippingSpecial: false) == text)
        var stream = tokenizer.makeStream(skippingSpecial: false)
        #expect(tokens.map { stream.append($0) }.joined() + stream.finish() == text)
    }

    /// Every sequence of three bytes at the limits of UTF-8 is repaired as the standard library repairs it.
    @Test func repairsBytesAsTheStandardLibraryDoes() throws {
        let tokenizer = try Tokenizer(contentsOf: GoldenFiles.folder("gpt2_bpe"))
        let edges: [UInt8] = [
            0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xE0, 0xE1, 0xED, 0xF0, 0xF1, 0xF4, 0xF5,
        ]
        let ids = try edges.map { byte in
            let text = byte == 0x41 ? "A" : Self.alphabet(byte)
            return try #require(tokenizer.token(named: text))
        }
        for first in edges.indices {
            for second in edges.indices {
                for third in edges.indices {
                    let expected = String(decoding: [edges[first], edges[second], edges[third]], as: UTF8.self)
                    let decoded = tokenizer.decode([ids[first], ids[second], ids[third]], skippingSpecial: false)
                    #expect(scalars(decoded) == scalars(expected))
                }
            }
        }
    }

    /// Bytes from 0xA1 on are their own characters; 0x7F to 0xA0 are spelled U+0121 to U+0142.
    private static func alphabet(_ byte: UInt8) -> String {
        let code = byte >= 0xA1 ? UInt32(byte) : 0x121 + UInt32(byte) - 0x7F
        return Unicode.Scalar(code).map { String(Character($0)) } ?? ""
    }

    @Test func tokensAreIntegersInJSON() throws {
        #expect(try JSONDecoder().decode([TokenID].self, from: Data("[5, 17]".utf8)) == [TokenID(5), TokenID(17)])
        #expect(String(decoding: try JSONEncoder().encode([TokenID(5), TokenID(17)]), as: UTF8.self) == "[5,17]")
    }
}

import Messages
import Testing

/// What stands in a message is one line, short, and harmless to a terminal, whatever the file holds.
@Suite struct QuotingTests {
    @Test func namesAreQuotedAndEscaped() {
        #expect(quoted("model.norm.weight") == "\"model.norm.weight\"")
        #expect(quoted("a\"b\\c") == "\"a\\\"b\\\\c\"")
        #expect(quoted("x\n\r\t\u{1B}[2J\u{7}\u{7F}\u{85}") == "\"x\\n\\r\\t\\u{1B}[2J\\u{07}\\u{7F}\\u{85}\"")
        // Turning the line around, joining, hiding, and breaking it in Unicode's ways.
        for scalar in [
            "\u{202E}", "\u{2066}", "\u{200B}", "\u{200D}", "\u{FEFF}", "\u{2028}", "\u{2029}", "\u{E000}", "\u{AD}",
        ] {
            #expect(quoted(scalar).hasPrefix("\"\\u{"), "\(quoted(scalar))")
        }
        #expect(quoted("é世界😀") == "\"é世界😀\"")
        #expect(quoted("") == "\"\"")
    }

    @Test func bytesThatAreNoTextAreShown() {
        #expect(quoted([0x61, 0xFF, 0xC3, 0x62] as [UInt8]) == "\"a\\xFF\\xC3b\"")
        #expect(quoted(Array("é".utf8)) == "\"é\"")
        #expect(quoted([0xE4, 0xB8] as [UInt8]) == "\"\\xE4\\xB8\"")
    }

    @Test func longNamesAreCut() {
        let shown = quoted(String(repeating: "a", count: 2_000_000))
        #expect(shown == "\"" + String(repeating: "a", count: 80) + "…\" (2000000 characters)")
        #expect(quoted(String(repeating: "b", count: 80)) == "\"" + String(repeating: "b", count: 80) + "\"")
        #expect(quoted(String(repeating: "\u{1B}", count: 5000)).count < 600)
    }

    @Test func pathsKeepBothEnds() {
        #expect(escaped("/a/b c\\d\".json") == "/a/b c\\d\".json")
        #expect(escaped("/a\nb") == "/a\\nb")
        let long = escaped("/start" + String(repeating: "x", count: 5000) + "/end.json")
        #expect(long.hasPrefix("/start") && long.hasSuffix("/end.json") && long.count < 450 && long.contains("5015"))
    }

    @Test func messagesStayOnOneLine() {
        #expect(onOneLine("all well: \"é\"") == "all well: \"é\"")
        #expect(onOneLine("a\nb\u{1B}c") == "a\\nb\\u{1B}c")
        #expect(onOneLine(String(repeating: "y", count: 5000)).count == 5000)
    }

    @Test func listsAreCut() {
        #expect(listed([2, 3]) == "[2, 3]")
        #expect(listed(Array(repeating: 1, count: 1000)) == "[1, 1, 1, 1, 1, 1, 1, 1, … (1000 numbers)]")
        #expect(listed(names: ["a", "b"]) == "\"a\", \"b\"")
        #expect(listed(names: Array("abcdefg").map(String.init)) == "\"a\", \"b\", \"c\", \"d\", \"e\" and 2 more")
    }

    @Test func hints() {
        #expect(unfoundHint("/a/b") == "")
        #expect(unfoundHint("/a/\u{FFFD}").contains("not UTF-8"))
        #expect(
            pointerHint(Array("version https://git-lfs.github.com/spec/v1\n".utf8))?.contains("git lfs pull") == true)
        #expect(pointerHint(Array("version 2".utf8)) == nil)
    }
}

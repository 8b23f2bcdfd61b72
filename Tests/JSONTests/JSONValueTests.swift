import JSON
import Testing

@Suite struct JSONValueTests {
    private func parse(_ text: String, _ dialect: JSONDialect) -> JSONValue? {
        try? JSONValue(parsing: Array(text.utf8), as: dialect)
    }

    @Test func whatBothDialectsRead() {
        for dialect in [JSONDialect.strict, .serde, .python] {
            let value = parse(#" {"b": [1.0, -2e3, null, true], "a": "\u00e9\ud83d\ude00\n"} "#, dialect)
            #expect(value?.members?.map(\.name) == ["b", "a"])
            #expect(value?["b"]?.elements == [.number("1.0"), .number("-2e3"), .null, .bool(true)])
            #expect(value?["a"]?.stringValue == "é😀\n")
            for bad in [
                "", "{", "[1,]", "{\"a\":1,}", "01", "+1", ".5", "nan", "'a'", "\"\u{1}\"", "[1] 2", "\"\\ud83\"", "-",
            ] {
                #expect(parse(bad, dialect) == nil, "\(bad)")
            }
            #expect(parse(String(repeating: "[", count: 128) + String(repeating: "]", count: 128), dialect) != nil)
            #expect(parse(String(repeating: "[", count: 129) + String(repeating: "]", count: 129), dialect) == nil)
        }
    }

    /// Python's reader takes these, and the last of two members counts.
    @Test func whatOnlyPythonReads() {
        for (text, value) in [
            ("NaN", JSONValue.number("NaN")),
            ("[Infinity, -Infinity]", .array([.number("Infinity"), .number("-Infinity")])),
            (#""\ud800""#, .string("\u{FFFD}")), (#""\udc00x""#, .string("\u{FFFD}x")),
            (#""\ud800\u0041""#, .string("\u{FFFD}A")), (#""\ud800\ud83d\ude00""#, .string("\u{FFFD}😀")),
        ] {
            #expect(parse(text, .python) == value, "\(text)")
            #expect(parse(text, .strict) == nil && parse(text, .serde) == nil, "\(text)")
        }
        let twice = #"{"a": 1, "\u0061": 2}"#
        #expect(parse(twice, .strict) == nil)
        for dialect in [JSONDialect.serde, .python] {
            #expect(parse(twice, dialect)?["a"] == .number("2") && parse(twice, dialect)?.members?.count == 2)
        }
    }

    /// The letter é as one scalar and as two is one string to Swift, and two names to a vocabulary.
    @Test func canonicallyEquivalentNamesDiffer() {
        let text = "{\"\u{E9}\": 1, \"e\u{301}\": 2}"
        for dialect in [JSONDialect.strict, .serde, .python] {
            let value = parse(text, dialect)
            #expect(value?["\u{E9}"] == .number("1") && value?["e\u{301}"] == .number("2"))
        }
    }

    @Test func bytesThatAreNoTextAreFound() {
        let bytes: [UInt8] = [0x5B, 0x22, 0x61, 0x5C, 0x6E, 0xC3, 0xA9, 0xC3, 0x22, 0x5D]
        do {
            _ = try JSONValue(parsing: bytes, as: .serde)
            Issue.record("bytes that are not UTF-8 were read")
        } catch {
            #expect("\(error)" == "a string that is not UTF-8 at byte 7")
        }
    }

    @Test func problemsSayWhereAndStayShort() {
        let name = String(repeating: "n", count: 100_000)
        do {
            _ = try JSONValue(parsing: Array("[1, -]".utf8), as: .strict)
            Issue.record("half a number was read")
        } catch {
            #expect(error.offset == 4 && error.reason == "expected a digit")
        }
        do {
            _ = try JSONValue(parsing: Array("{\"\(name)\\n\": 1, \"\(name)\\n\": 1}".utf8), as: .strict)
            Issue.record("a name twice was read")
        } catch {
            #expect("\(error)".count < 200 && !"\(error)".contains("\n"))
        }
    }
}

import Testing

@testable import Generation

@Suite struct StopMatcherTests {
    /// However the text is cut, the matcher shows exactly the text before the first stop string.
    @Test(arguments: ["one two three", "aaab", "stop", "no end here", "äöü×\u{1F600}end", ""])
    func showsTextBeforeTheStop(text: String) {
        let stops = ["two", "aab", "stop", "end"]
        let found = stops.compactMap { stop in text.utf8.firstRange(of: stop)?.lowerBound }.min()
        let expected = found.map { String(text[..<$0]) } ?? text
        for size in 1...5 {
            var matcher = StopMatcher(stops: stops)
            var shown = ""
            var rest = Substring(text)
            while !rest.isEmpty {
                shown += matcher.append(String(rest.prefix(size)))
                rest = rest.dropFirst(size)
            }
            shown += matcher.finish()
            #expect(shown == expected, "in pieces of \(size)")
            #expect(matcher.isStopped == (found != nil))
        }
    }

    @Test func holdsBackOnlyWhatMayBeAStop() {
        var matcher = StopMatcher(stops: ["\n\nUser:"])
        #expect(matcher.append("Hello") == "Hello")
        #expect(matcher.append("\n") == "")
        #expect(matcher.append("world") == "\nworld")
        #expect(matcher.append("\n\nUse") == "")
        #expect(matcher.append("less") == "\n\nUseless")
    }
}

extension String.UTF8View {
    fileprivate func firstRange(of pattern: String) -> Range<Index>? {
        let bytes = Array(pattern.utf8)
        return indices.first { index in self[index...].starts(with: bytes) }.map {
            $0..<self.index($0, offsetBy: bytes.count)
        }
    }
}

/// A string as Python has it: a sequence of Unicode scalars, compared and indexed by them.
///
/// Swift's `String` compares by canonical equivalence and counts grapheme clusters. Python does neither, and templates
/// index and cut texts. An array of scalars gives both in constant time for an element.
struct Text {
    var scalars: [Unicode.Scalar]
    /// Whether this is what Python calls `Markup`: joined with another text by `+`, it escapes that text for HTML.
    var isMarkup = false

    init(_ scalars: some Sequence<Unicode.Scalar>, isMarkup: Bool = false) {
        self.scalars = Array(scalars)
        self.isMarkup = isMarkup
    }

    init(_ string: String) {
        scalars = Array(string.unicodeScalars)
    }

    var string: String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    var count: Int { scalars.count }

    /// The part with those indices, which must exist.
    subscript(range: Range<Int>) -> Text { Text(scalars[range], isMarkup: isMarkup) }

    static func + (left: Text, right: Text) -> Text { Text(left.scalars + right.scalars) }
}

extension Text: Hashable {
    static func == (left: Text, right: Text) -> Bool { left.scalars == right.scalars }

    func hash(into hasher: inout Hasher) { hasher.combine(scalars) }
}

extension Text: Comparable {
    static func < (left: Text, right: Text) -> Bool { left.scalars.lexicographicallyPrecedes(right.scalars) }
}

extension Text: ExpressibleByStringLiteral {
    init(stringLiteral value: String) { self.init(value) }
}

/// A text to look for, with the table of the algorithm of Knuth, Morris and Pratt, so that a search is linear.
struct Needle {
    private let scalars: [Unicode.Scalar]
    /// For each length of a matched prefix, the length of the longest proper prefix that also ends it.
    private let fallback: [Int]

    init(_ text: Text) {
        scalars = text.scalars
        var fallback = Array(repeating: 0, count: scalars.count + 1)
        var length = 0
        for index in scalars.indices.dropFirst() {
            while length > 0, scalars[index] != scalars[length] { length = fallback[length] }
            if scalars[index] == scalars[length] { length += 1 }
            fallback[index + 1] = length
        }
        self.fallback = fallback
    }

    /// Where the needle begins first in that part of a text; nil if it does not occur there.
    func first(in text: [Unicode.Scalar], _ range: Range<Int>) -> Int? {
        var found: Int?
        search(text, range) {
            found = $0
            return false
        }
        return found
    }

    /// Where the needle begins last in that part of a text; nil if it does not occur there.
    func last(in text: [Unicode.Scalar], _ range: Range<Int>) -> Int? {
        if scalars.isEmpty { return range.upperBound }
        var found: Int?
        search(text, range) {
            found = $0
            return true
        }
        return found
    }

    /// Where the needle begins, from left to right without overlaps, at most `limit` times.
    func all(in text: [Unicode.Scalar], limit: Int = .max) -> [Int] {
        var (found, end) = ([Int](), 0)
        search(text, 0..<text.count) { start in
            guard found.count < limit else { return false }
            if start >= end || scalars.isEmpty {
                found.append(start)
                end = start + scalars.count
            }
            return true
        }
        return found
    }

    /// Gives each start of the needle to `report` until that returns false.
    private func search(_ text: [Unicode.Scalar], _ range: Range<Int>, report: (Int) -> Bool) {
        guard !scalars.isEmpty else {
            for index in range.lowerBound...range.upperBound where !report(index) { return }
            return
        }
        var length = 0
        for index in range {
            while length > 0, text[index] != scalars[length] { length = fallback[length] }
            if text[index] == scalars[length] { length += 1 }
            guard length == scalars.count else { continue }
            guard report(index + 1 - length) else { return }
            length = fallback[length]
        }
    }
}

// Searching, cutting and replacing, as the methods of Python's `str`.
extension Text {
    func contains(_ part: Text) -> Bool { Needle(part).first(in: scalars, 0..<count) != nil }

    func replacing(_ old: Text, with new: Text, limit: Int) -> Text {
        var (result, end) = ([Unicode.Scalar](), 0)
        for start in Needle(old).all(in: scalars, limit: limit) {
            result += scalars[end..<start]
            result += new.scalars
            end = start + old.count
        }
        result += scalars[end...]
        return Text(result)
    }

    /// The parts between separators; from the right, the limit counts from there.
    func split(by separator: Text, limit: Int, fromRight: Bool = false) -> [Text] {
        guard !fromRight else {
            let (text, mark) = (Text(scalars.reversed(), isMarkup: isMarkup), Text(separator.scalars.reversed()))
            return text.split(by: mark, limit: limit).reversed().map {
                Text($0.scalars.reversed(), isMarkup: isMarkup)
            }
        }
        var (parts, end) = ([Text](), 0)
        for start in Needle(separator).all(in: scalars, limit: limit) {
            parts.append(self[end..<start])
            end = start + separator.count
        }
        return parts + [self[end..<count]]
    }

    /// The words between white space; what the limit leaves over is one last part without space at its outer end.
    func words(limit: Int, fromRight: Bool = false) -> [Text] {
        var parts: [Text] = []
        var rest = 0..<count
        while true {
            rest = trimmed(rest, atStart: true, atEnd: true) { $0.isPythonSpace }
            guard !rest.isEmpty else { break }
            if parts.count == limit {
                // Python trims only the side that it cuts from; the other side keeps its space.
                let outer = trimmed(
                    fromRight ? 0..<rest.upperBound : rest.lowerBound..<count, atStart: !fromRight,
                    atEnd: fromRight
                ) { $0.isPythonSpace }
                parts.append(self[outer])
                break
            }
            if fromRight {
                let space = scalars[rest].lastIndex { $0.isPythonSpace }
                parts.append(self[(space.map { $0 + 1 } ?? rest.lowerBound)..<rest.upperBound])
                rest = rest.lowerBound..<(space ?? rest.lowerBound)
            } else {
                let space = scalars[rest].firstIndex { $0.isPythonSpace } ?? rest.upperBound
                parts.append(self[rest.lowerBound..<space])
                rest = space..<rest.upperBound
            }
        }
        return fromRight ? parts.reversed() : parts
    }

    func lines(keepingEnds: Bool) -> [Text] {
        var (lines, start, index) = ([Text](), 0, 0)
        while index < count {
            guard scalars[index].endsPythonLine else {
                index += 1
                continue
            }
            let isPair = scalars[index] == "\r" && index + 1 < count && scalars[index + 1] == "\n"
            let next = index + (isPair ? 2 : 1)
            lines.append(self[start..<(keepingEnds ? next : index)])
            (start, index) = (next, next)
        }
        return start < count ? lines + [self[start..<count]] : lines
    }

    /// The text without the scalars of `set` at its ends; without white space if that is nil.
    func stripped(_ set: Text?, atStart: Bool = true, atEnd: Bool = true) -> Text {
        guard let set else {
            return self[trimmed(0..<count, atStart: atStart, atEnd: atEnd) { $0.isPythonSpace }]
        }
        let members = Set(set.scalars)
        return self[trimmed(0..<count, atStart: atStart, atEnd: atEnd) { members.contains($0) }]
    }

    private func trimmed(
        _ range: Range<Int>, atStart: Bool, atEnd: Bool, _ isDropped: (Unicode.Scalar) -> Bool
    ) -> Range<Int> {
        var (start, end) = (range.lowerBound, range.upperBound)
        if atStart { while start < end, isDropped(scalars[start]) { start += 1 } }
        if atEnd { while start < end, isDropped(scalars[end - 1]) { end -= 1 } }
        return start..<end
    }

    func hasPrefix(_ prefix: Text) -> Bool { scalars.starts(with: prefix.scalars) }

    func hasSuffix(_ suffix: Text) -> Bool { scalars.reversed().starts(with: suffix.scalars.reversed()) }

    /// The text in the middle of `width` scalars, or at one side of them.
    func padded(to width: Int, with fill: Unicode.Scalar, _ side: Alignment) -> Text {
        guard width > count else { return self }
        let room = width - count
        let left =
            switch side {
            case .left: 0
            case .right: room
            // Python puts the odd place to the left if the width is odd too.
            case .center: room / 2 + (room & width & 1)
            }
        let (before, after) = (repeatElement(fill, count: left), repeatElement(fill, count: room - left))
        return Text(before + scalars + after, isMarkup: isMarkup)
    }

    /// The characters that mean something in HTML as references, unless this is markup already.
    var escapedForHTML: Text {
        guard !isMarkup else { return self }
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(count)
        for scalar in scalars {
            switch scalar {
            case "&": result += "&amp;".unicodeScalars
            case "<": result += "&lt;".unicodeScalars
            case ">": result += "&gt;".unicodeScalars
            case "'": result += "&#39;".unicodeScalars
            case "\"": result += "&#34;".unicodeScalars
            default: result.append(scalar)
            }
        }
        return Text(result, isMarkup: true)
    }
}

/// Where a text stands in a wider field.
enum Alignment {
    case left
    case right
    case center
}

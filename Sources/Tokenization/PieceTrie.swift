/// A set of byte strings with a number each, for finding those that a place in a text starts with.
///
/// The nodes stand in breadth-first order, so that the children of one follow those of the node before it.
struct PieceTrie: Sendable {
    /// The number that stands for "no key ends here".
    private static let none: Int32 = -1

    /// The index of each node's first child; its last child stands before the first child of the next node.
    private var firstChildren: [UInt32] = []
    /// The byte that leads from its parent to each node.
    private var labels: [UInt8] = []
    private var values: [Int32] = []
    /// The root's child for each first byte, or zero for none: the root has too many children to search them.
    private var starts = [UInt32](repeating: 0, count: 256)

    /// Whether the set has no keys.
    var isEmpty: Bool { labels.count <= 1 }

    /// Builds the set; of equal keys the last one's value counts, and empty keys are left out.
    ///
    /// - Parameter entries: the keys, and their values, which must not be negative.
    init(_ entries: [(key: [UInt8], value: Int32)]) {
        let sorted = entries.enumerated().filter { !$0.element.key.isEmpty }
            .sorted { left, right in
                if left.element.key == right.element.key { return left.offset < right.offset }
                return left.element.key.lexicographicallyPrecedes(right.element.key)
            }
            .map(\.element)
        // Each node is a range of the sorted keys that begin alike; the queue is the list of nodes itself.
        var ranges: [(keys: Range<Int>, depth: Int)] = [(0..<sorted.count, 0)]
        labels.append(0)
        var node = 0
        while node < ranges.count {
            var (keys, depth) = ranges[node]
            var value = Self.none
            while let first = keys.first, sorted[first].key.count == depth {
                value = sorted[first].value
                keys = first + 1..<keys.upperBound
            }
            values.append(value)
            firstChildren.append(UInt32(ranges.count))
            while let first = keys.first {
                let label = sorted[first].key[depth]
                var end = first + 1
                while end < keys.upperBound, sorted[end].key[depth] == label { end += 1 }
                if node == 0 { starts[Int(label)] = UInt32(ranges.count) }
                labels.append(label)
                ranges.append((first..<end, depth + 1))
                keys = end..<keys.upperBound
            }
            node += 1
        }
        firstChildren.append(UInt32(ranges.count))
    }

    /// Whether a key starts with this byte.
    func hasKey(startingWith byte: UInt8) -> Bool { starts[Int(byte)] != 0 }

    /// Calls `body` with the end and the value of each key that the bytes of `text` in `range` start with, shortest
    /// first.
    @inline(__always)
    func forEachPrefix(
        of text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ body: (_ end: Int, _ value: Int32) -> Void
    ) {
        guard !range.isEmpty else { return }
        var node = Int(starts[Int(text[range.lowerBound])])
        var end = range.lowerBound + 1
        while node != 0 {
            if values[node] != Self.none { body(end, values[node]) }
            guard end < range.upperBound else { return }
            node = child(of: node, text[end])
            end += 1
        }
    }

    /// The longest key that the bytes of `text` from `start` on start with.
    func longestPrefix(of text: [UInt8], from start: Int) -> (end: Int, value: Int32)? {
        var longest: (end: Int, value: Int32)?
        text.withUnsafeBufferPointer { text in
            forEachPrefix(of: text, start..<text.count) { longest = ($0, $1) }
        }
        return longest
    }

    /// The child that a byte leads to; zero for none, since the root is nobody's child.
    @inline(__always)
    private func child(of node: Int, _ byte: UInt8) -> Int {
        var low = Int(firstChildren[node])
        var high = Int(firstChildren[node + 1])
        while high - low > 8 {
            let middle = (low + high) / 2
            if labels[middle] <= byte { low = middle } else { high = middle }
        }
        while low < high {
            if labels[low] == byte { return low }
            low += 1
        }
        return 0
    }
}

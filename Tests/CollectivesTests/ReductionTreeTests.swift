import Collectives
import Testing

@Suite struct ReductionTreeTests {
    /// The tree as text, by the rule that every reduction follows.
    private func tree(_ terms: Range<Int>) -> String {
        if terms.count == 1 { return "r\(terms.lowerBound)" }
        let middle = terms.lowerBound + ReductionTree.firstHalf(of: terms.count)
        return "(" + tree(terms.lowerBound..<middle) + "+" + tree(middle..<terms.upperBound) + ")"
    }

    @Test func knownShapes() {
        #expect(tree(0..<1) == "r0")
        #expect(tree(0..<3) == "((r0+r1)+r2)")
        #expect(tree(0..<4) == "((r0+r1)+(r2+r3))")
        #expect(tree(0..<5) == "(((r0+r1)+r2)+(r3+r4))")
    }

    @Test func segmentsCoverEveryElementOnce() {
        for count in Array(0...200) + [1000, 4097] {
            for parts in 1...16 {
                let segments = (0..<parts).map { ReductionTree.segment(ofCount: count, part: $0, parts: parts) }
                let starts = [0] + segments.map(\.upperBound)
                guard segments.map(\.lowerBound) == starts.dropLast(), starts.last == count else {
                    Issue.record("\(count) elements in \(parts) parts: \(segments)")
                    return
                }
            }
        }
    }

    @Test(arguments: [
        ([1], true), ([7], true), ([2, 2], true), ([3, 3], true), ([2, 1], true), ([1, 2], false), ([2, 2, 2], false),
        ([2, 2, 2, 2], true), ([1, 1, 1], true), ([4, 2, 2], false), ([3, 3, 3, 3], true),
    ])
    func hostsThatAreSubtreesNest(sizes: [Int], nests: Bool) {
        #expect(ReductionTree.nests(sizes) == nests)
    }
}

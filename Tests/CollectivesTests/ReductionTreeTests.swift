import Collectives
import Testing

@Suite struct ReductionTreeTests {
    /// The tree as text, by its recursive definition.
    private func tree(_ terms: Range<Int>) -> String {
        if terms.count == 1 { return "r\(terms.lowerBound)" }
        let middle = terms.lowerBound + (terms.count + 1) / 2
        return "(" + tree(terms.lowerBound..<middle) + "+" + tree(middle..<terms.upperBound) + ")"
    }

    @Test func additionsFollowTheDefinitionForSizesUpTo16() {
        for count in 1...16 {
            var terms = (0..<count).map { "r\($0)" }
            ReductionTree.forEachAddition(count: count) { into, from in
                terms[into] = "(" + terms[into] + "+" + terms[from] + ")"
            }
            #expect(terms[0] == tree(0..<count))
        }
    }

    @Test func knownShapes() {
        #expect(tree(0..<3) == "((r0+r1)+r2)")
        #expect(tree(0..<4) == "((r0+r1)+(r2+r3))")
        #expect(tree(0..<5) == "(((r0+r1)+r2)+(r3+r4))")
    }

    @Test func noTermsAndOneTermNeedNoAddition() {
        for count in 0...1 {
            ReductionTree.forEachAddition(count: count) { _, _ in Issue.record("an addition of \(count) terms") }
        }
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

    @Test func additionKeepsOperandsInPlace() {
        let lower = Law.randomTerms(count: 37, seed: 3)
        let upper = Law.randomTerms(count: 37, seed: 4)
        for inPlace in 0...2 {
            var buffers = [lower, upper, [Float](repeating: 0, count: 37)]
            let out = buffers[inPlace].withUnsafeMutableBufferPointer { out -> [Float] in
                lower.withUnsafeBufferPointer { first in
                    upper.withUnsafeBufferPointer { second in
                        guard let base = out.baseAddress, let a = first.baseAddress, let b = second.baseAddress
                        else { return [] }
                        let left = inPlace == 0 ? UnsafePointer(base) : a
                        let right = inPlace == 1 ? UnsafePointer(base) : b
                        ReductionTree.add(left, right, into: base, count: 37)
                        return Array(out)
                    }
                }
            }
            #expect(out == zip(lower, upper).map { $0 + $1 })
        }
    }
}

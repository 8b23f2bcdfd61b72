/// The order in which the terms of a sum over ranks are added.
///
/// The ranks are halved again and again, with the longer half first, and the sums of two halves are added: for 2 ranks
/// `r0+r1`, for 3 `(r0+r1)+r2`, for 4 `(r0+r1)+(r2+r3)`, for 5 `((r0+r1)+r2)+(r3+r4)`. Every all-reduce follows this
/// order, because float addition is not associative: another order would give other last bits.
public enum ReductionTree {
    /// The number of terms in the first half of `count` neighbouring terms.
    public static func firstHalf(of count: Int) -> Int {
        count - count / 2
    }

    /// The elements that rank `part` of `parts` adds up when ranks share the work on a long buffer.
    ///
    /// Boundaries are multiples of 16 elements, which fill a cache line, so that no line has two writers.
    public static func segment(ofCount count: Int, part: Int, parts: Int) -> Range<Int> {
        let lines = (count + 15) / 16
        let start = min(count, lines * part / parts * 16)
        let end = min(count, lines * (part + 1) / parts * 16)
        return start..<end
    }

    /// Whether neighbouring groups of these sizes are subtrees.
    ///
    /// If they are, adding up inside each group, and then the sums of the groups as a tree of their own, is the order
    /// of the whole. Groups of 2 and 2 ranks are subtrees; groups of 1 and 2 are not.
    public static func nests(_ sizes: some RandomAccessCollection<Int>) -> Bool {
        guard sizes.count > 1 else { return true }
        let left = sizes.prefix(firstHalf(of: sizes.count)), right = sizes.dropFirst(left.count)
        return left.reduce(0, +) == firstHalf(of: sizes.reduce(0, +)) && nests(left) && nests(right)
    }
}

/// The order in which the terms of a sum over ranks are added.
///
/// The ranks are halved again and again, the longer half first, and halves are added when each is complete:
/// 2 ranks `r0+r1`, 3 `(r0+r1)+r2`, 4 `(r0+r1)+(r2+r3)`, 5 `((r0+r1)+r2)+(r3+r4)`. Every all-reduce follows it,
/// because float addition is not associative: another order would give other last bits.
public enum ReductionTree {
    /// How many of `count` neighbouring terms belong to the first half.
    public static func firstHalf(of count: Int) -> Int {
        count - count / 2
    }

    /// The elements that rank `part` of `parts` adds up when a long buffer is shared out.
    ///
    /// Boundaries are multiples of 16 elements, a cache line, so that no line has two writers.
    public static func segment(ofCount count: Int, part: Int, parts: Int) -> Range<Int> {
        let lines = (count + 15) / 16
        let start = min(count, lines * part / parts * 16)
        let end = min(count, lines * (part + 1) / parts * 16)
        return start..<end
    }

    /// Whether neighbouring groups of these sizes are subtrees, so that adding up inside each and then over the groups, in
    /// the order of a tree of as many terms, is the order of the whole: of hosts with 2 and 2 ranks, not with 1 and 2.
    public static func nests(_ sizes: some RandomAccessCollection<Int>) -> Bool {
        guard sizes.count > 1 else { return true }
        let left = sizes.prefix(firstHalf(of: sizes.count)), right = sizes.dropFirst(left.count)
        return left.reduce(0, +) == firstHalf(of: sizes.reduce(0, +)) && nests(left) && nests(right)
    }
}

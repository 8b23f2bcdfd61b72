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

    /// Visits the additions in an order that respects the tree; at the end term 0 holds the sum.
    ///
    /// - Parameters:
    ///   - count: how many terms there are.
    ///   - add: must replace term `into` by its sum with term `from`; `into` is always the lower one.
    public static func forEachAddition(count: Int, _ add: (_ into: Int, _ from: Int) -> Void) {
        visit(first: 0, count: count, add)
    }

    private static func visit(first: Int, count: Int, _ add: (_ into: Int, _ from: Int) -> Void) {
        guard count > 1 else { return }
        let half = firstHalf(of: count)
        visit(first: first, count: half, add)
        visit(first: first + half, count: count - half, add)
        add(first, first + half)
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

    /// Writes `lower + upper` element by element; `out` may be either of them.
    ///
    /// The operands keep their places on every rank: with two different NaNs the processor returns the first.
    /// Written with explicit vectors because the compiler will not vectorise over pointers that may be equal.
    public static func add(
        _ lower: UnsafePointer<Float>, _ upper: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>,
        count: Int
    ) {
        var index = 0
        while index &+ 16 <= count {
            let first = UnsafeRawPointer(lower + index).loadUnaligned(as: SIMD16<Float>.self)
            let second = UnsafeRawPointer(upper + index).loadUnaligned(as: SIMD16<Float>.self)
            UnsafeMutableRawPointer(out + index).storeBytes(of: first + second, as: SIMD16<Float>.self)
            index &+= 16
        }
        while index < count {
            out[index] = lower[index] + upper[index]
            index &+= 1
        }
    }
}

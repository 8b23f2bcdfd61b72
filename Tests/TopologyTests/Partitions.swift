/// The failures in a sweep over many cases: their number, and the first cases in words.
///
/// The whole sweep is one expectation, because one for each case would print thousands of lines.
struct Faults: CustomStringConvertible {
    private var count = 0
    private var first: [String] = []

    /// Runs `body` for every combination; it returns nil, or what is wrong.
    mutating func check(
        _ a: some Sequence<Int>, _ b: some Collection<Int>, _ c: some Collection<Int> = [1],
        _ body: (Int, Int, Int) -> String?
    ) {
        for a in a {
            for b in b {
                for c in c { note(body(a, b, c), "\(a), \(b), \(c)") }
            }
        }
    }

    mutating func note(_ fault: String?, _ trail: @autoclosure () -> String) {
        guard let fault else { return }
        count += 1
        if first.count < 3 { first.append("[\(trail())] \(fault)") }
    }

    /// The failures in words; empty if there are none.
    var description: String {
        count == 0 ? "" : "\(count) faults: \(first.joined(separator: "; "))"
    }
}

/// The number of units in `length`, of which the last may be incomplete.
func unitCount(_ length: Int, _ unit: Int) -> Int { (length + unit - 1) / unit }

/// Why ranges are not a partition of `0..<count` into `parts` with cuts at multiples of `unit`; nil: they are.
func partitionFault(_ ranges: [Range<Int>], of count: Int, parts: Int, unit: Int) -> String? {
    guard ranges.count == parts else { return "\(ranges.count) ranges" }
    var next = 0
    for range in ranges {
        if range.lowerBound != next { return "\(range) does not start at \(next)" }
        if range.upperBound % unit != 0 && range.upperBound != count { return "\(range) ends inside a unit" }
        next = range.upperBound
    }
    return next == count ? nil : "ends at \(next)"
}

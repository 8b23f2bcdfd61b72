/// Splits `0..<count` into `parts` contiguous ranges whose lengths differ by at most one unit.
///
/// Boundaries are multiples of `unit`; only the last range may end inside one. The longer ranges come first.
/// Every index belongs to exactly one range. Ranges are empty where there are more parts than units.
public func balancedRanges(of count: Int, into parts: Int, unit: Int = 1) -> [Range<Int>] {
    let units = (count + unit - 1) / unit
    return ranges(of: count, unit: unit, unitCounts: (0..<parts).map { units / parts + ($0 < units % parts ? 1 : 0) })
}

/// Splits `0..<count` by repeated halving; slices and shards both use it, so that they nest.
///
/// The first half is the longer one. With `parts` a power of two, range `i` of `parts` is exactly the union of
/// ranges `2i` and `2i + 1` of `2 * parts`. Boundaries are multiples of `unit`; ranges may be empty.
public func bisectedRanges(of count: Int, into parts: Int, unit: Int = 1) -> [Range<Int>] {
    precondition(parts > 0 && parts & (parts - 1) == 0, "bisection makes 1, 2, 4, 8 … parts")
    var unitCounts = [(count + unit - 1) / unit]
    while unitCounts.count < parts {
        unitCounts = unitCounts.flatMap { [$0 - $0 / 2, $0 / 2] }
    }
    return ranges(of: count, unit: unit, unitCounts: unitCounts)
}

/// Splits `0..<count` in proportion to `weights` by the largest-remainder method.
///
/// Each part gets at least one unit if there are enough.
public func weightedRanges(of count: Int, by weights: [Double], unit: Int = 1) -> [Range<Int>] {
    let units = (count + unit - 1) / unit
    let floor = units >= weights.count ? 1 : 0
    let total = weights.reduce(0, +)
    let ideals = weights.map { Double(units) * $0 / total }
    var unitCounts = ideals.map { max(floor, Int($0)) }
    // Ties go to the earlier part, so that every rank computes the same split.
    while unitCounts.reduce(0, +) < units {
        let index =
            unitCounts.indices.max { ideals[$0] - Double(unitCounts[$0]) < ideals[$1] - Double(unitCounts[$1]) } ?? 0
        unitCounts[index] += 1
    }
    while unitCounts.reduce(0, +) > units {
        let candidates = unitCounts.indices.filter { unitCounts[$0] > floor }
        let index = candidates.max { Double(unitCounts[$0]) - ideals[$0] < Double(unitCounts[$1]) - ideals[$1] } ?? 0
        unitCounts[index] -= 1
    }
    return ranges(of: count, unit: unit, unitCounts: unitCounts)
}

private func ranges(of count: Int, unit: Int, unitCounts: [Int]) -> [Range<Int>] {
    var start = 0
    return unitCounts.map { units in
        let end = min(count, start + units * unit)
        defer { start = end }
        return start..<end
    }
}

import TestSupport
import Testing
import Topology

/// Tests every count from 0 to 200 with every number of parts, in every unit by which the runtime cuts.
@Suite struct RangesTests {
    static let counts = 0...200
    static let parts = 1...16
    static let units = [1, 4, 8, 32]
    static let powersOfTwo = [1, 2, 4, 8, 16]

    @Test func balancedRangesArePartitionsWithinOneUnit() {
        var faults = Faults()
        faults.check(Self.counts, Self.parts, Self.units) { count, parts, unit in
            let ranges = balancedRanges(of: count, into: parts, unit: unit)
            let lengths = ranges.map { unitCount($0.count, unit) }
            if lengths != lengths.sorted(by: >) { return "a longer range follows a shorter one: \(ranges)" }
            return evenFault(ranges, of: count, parts: parts, unit: unit)
        }
        #expect(faults.description == "")
    }

    @Test func bisectedRangesArePartitionsWithinOneUnit() {
        var faults = Faults()
        faults.check(Self.counts, Self.powersOfTwo, Self.units) { count, parts, unit in
            evenFault(bisectedRanges(of: count, into: parts, unit: unit), of: count, parts: parts, unit: unit)
        }
        #expect(faults.description == "")
    }

    @Test func bisectedRangesNest() {
        var faults = Faults()
        faults.check(Self.counts, Self.powersOfTwo, Self.units) { count, parts, unit in
            let whole = bisectedRanges(of: count, into: parts, unit: unit)
            let halves = bisectedRanges(of: count, into: 2 * parts, unit: unit)
            for (index, range) in whole.enumerated() {
                let (first, second) = (halves[2 * index], halves[2 * index + 1])
                guard range == first.lowerBound..<second.upperBound, first.upperBound == second.lowerBound else {
                    return "\(range) is not \(first) and \(second)"
                }
                if second.count > first.count { return "the second half \(second) is longer than the first \(first)" }
            }
            return nil
        }
        #expect(faults.description == "")
    }

    @Test func theFirstFourOfEightSlicesAreTheFirstHalf() {
        var faults = Faults()
        faults.check(Self.counts, [8], Self.units) { count, parts, unit in
            let slices = bisectedRanges(of: count, into: parts, unit: unit)
            let half = bisectedRanges(of: count, into: 2, unit: unit)[0]
            return half == slices[0].lowerBound..<slices[3].upperBound ? nil : "\(half) is not \(slices[0...3])"
        }
        #expect(faults.description == "")
        // By hand: 11 units of 32 are halved to 6 + 5, then 3 + 3 + 3 + 2, then 2 + 1 + 2 + 1 + 2 + 1 + 1 + 1.
        let ends = bisectedRanges(of: 352, into: 8, unit: 32).map(\.upperBound)
        #expect(ends == [64, 96, 160, 192, 256, 288, 320, 352])
    }

    @Test func weightedRangesKeepProportionsAndGiveEachPartAUnit() {
        var faults = Faults()
        faults.check(Self.counts, Self.parts, Self.units) { count, parts, unit in
            for weights in weightPatterns(parts) {
                let ranges = weightedRanges(of: count, by: weights, unit: unit)
                if let fault = partitionFault(ranges, of: count, parts: parts, unit: unit) { return fault }
                if let fault = proportionFault(ranges, weights: weights, units: unitCount(count, unit), unit: unit) {
                    return fault
                }
            }
            return nil
        }
        #expect(faults.description == "")
    }

    @Test func equalWeightsAreBalanced() {
        var faults = Faults()
        faults.check(Self.counts, Self.parts, Self.units) { count, parts, unit in
            for weight in [1.0, 0.1, 3e7] {
                let weighted = weightedRanges(of: count, by: Array(repeating: weight, count: parts), unit: unit)
                let balanced = balancedRanges(of: count, into: parts, unit: unit)
                if weighted != balanced { return "\(weighted), expected \(balanced)" }
            }
            return nil
        }
        #expect(faults.description == "")
    }

    @Test func weightedRangesByHand() {
        // 22 layers divided 2 : 1 : 1 are 11, 5.5 and 5.5; the tie goes to the earlier part.
        #expect(weightedRanges(of: 22, by: [2, 1, 1]) == [0..<11, 11..<17, 17..<22])
        // 10 divided 1 : 1000 would be 0.01 and 9.99, but no part is left empty.
        #expect(weightedRanges(of: 10, by: [1, 1000]) == [0..<1, 1..<10])
        // 100 columns make 4 units of 32, the last one short.
        #expect(weightedRanges(of: 100, by: [3, 1], unit: 32) == [0..<96, 96..<100])
    }

    @Test func weightsAtTheEndsOfTheirRangeAreTaken() {
        let (high, low) = (ParallelPlan.weightRange.upperBound, ParallelPlan.weightRange.lowerBound)
        #expect(weightedRanges(of: 10, by: [high, high]) == [0..<5, 5..<10])
        #expect(weightedRanges(of: 10, by: [low, low]) == [0..<5, 5..<10])
        #expect(weightedRanges(of: 10, by: [high, low]) == [0..<9, 9..<10])
        #expect(weightedRanges(of: 10, by: [high, low, high, low]) == [0..<4, 4..<5, 5..<9, 9..<10])
    }
}

/// Why even ranges are not a partition whose lengths differ by at most one unit; nil: they are.
private func evenFault(_ ranges: [Range<Int>], of count: Int, parts: Int, unit: Int) -> String? {
    if let fault = partitionFault(ranges, of: count, parts: parts, unit: unit) { return fault }
    let lengths = ranges.map { unitCount($0.count, unit) }
    guard let longest = lengths.max(), let shortest = lengths.min() else { return "no ranges" }
    return longest - shortest <= 1 ? nil : "lengths differ by more than a unit: \(ranges)"
}

/// Weights to try: rising, falling, one fast, one slow, and some that no float represents exactly.
private func weightPatterns(_ parts: Int) -> [[Double]] {
    [
        (1...parts).map(Double.init), (1...parts).reversed().map(Double.init),
        (0..<parts).map { $0 == parts / 2 ? 10 : 1 }, (0..<parts).map { $0 == 0 ? 0.001 : 1 },
        (0..<parts).map { [0.1, 0.7, 0.3][$0 % 3] },
    ]
}

/// Why ranges are not in proportion to weights; nil: they are.
///
/// Each part must have a unit if there are enough. If that changes nothing, each has its share, rounded down or up.
private func proportionFault(_ ranges: [Range<Int>], weights: [Double], units: Int, unit: Int) -> String? {
    let lengths = ranges.map { unitCount($0.count, unit) }
    if units >= weights.count, lengths.contains(0) { return "a part is left without: \(ranges) by \(weights)" }
    let total = weights.reduce(0, +)
    let shares = weights.map { Double(units) * $0 / total }
    for (first, second) in zip(weights.indices, weights.indices.dropFirst()) {
        if weights[first] > weights[second] && lengths[first] < lengths[second] {
            return "less for more: \(ranges) by \(weights)"
        }
    }
    guard shares.allSatisfy({ $0 >= 1 }) || units < weights.count else { return nil }
    for (length, share) in zip(lengths, shares) where abs(Double(length) - share) >= 1 + 1e-9 {
        return "\(length) units for a share of \(share): \(ranges) by \(weights)"
    }
    return nil
}

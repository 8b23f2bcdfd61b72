import TestSupport
import Testing
import Topology

@Suite struct ContractionLayoutTests {
    /// Small lengths, and the intermediate sizes of published models.
    static let lengths = Array(1...300) + [896, 4864, 5632, 8192, 11008, 13824, 14336, 18944, 28672]
    static let degrees = [1, 2, 4, 8]
    static let headDimensions = [8, 12, 64, 80, 96, 128, 256]

    @Test func unitIs64Or32HalvedUntilThereIsOneForEachSliceAndShard() {
        var faults = Faults()
        faults.check(Self.lengths, Array(1...16)) { length, shards, _ in
            let layout = ContractionLayout(length: length, shardCount: shards)
            let wanted = max(sliceCount, shards)
            let largest = length % 512 == 0 ? 64 : 32
            guard [4, 8, 16, 32, largest].contains(layout.unit) else { return "unit \(layout.unit)" }
            if layout.unitCount != unitCount(length, layout.unit) {
                return "\(layout.unitCount) units of \(layout.unit)"
            }
            if layout.unit > 4 && layout.unitCount < wanted {
                return "only \(layout.unitCount) units of \(layout.unit)"
            }
            if layout.unit < largest && unitCount(length, 2 * layout.unit) >= wanted {
                return "\(layout.unit) is too small"
            }
            return nil
        }
        #expect(faults.description == "")
    }

    @Test func unitIsTheSameForEveryDegreeUpToEight() {
        var faults = Faults()
        faults.check(Self.lengths, Array(1...8)) { length, shards, _ in
            ContractionLayout(length: length, shardCount: shards) == ContractionLayout(length: length)
                ? nil : "the layout depends on the plan"
        }
        #expect(faults.description == "")
    }

    @Test func runDividesUnit() {
        for unit in 1...300 {
            let run = ContractionLayout(length: 4096, unit: unit).run
            #expect(unit % run == 0 && run <= 32 && (unit % (2 * run) != 0 || run == 32))
        }
    }

    @Test func granularityDividesUnitAndGroup() {
        var faults = Faults()
        faults.check(
            Self.lengths, [1, 3, 4, 6, 8, 12, 16, 20, 24, 32, 48, 64, 100, 128], [4, 5, 8, 12, 16, 32, 64, 80, 96, 100]
        ) {
            length, group, unit in
            // A group as long as the input never ends inside it, so only the unit matters.
            let divisors = [8, 4, 2, 1].filter { unit % $0 == 0 && (group % $0 == 0 || group >= length) }
            let found = ContractionLayout(length: length, unit: unit).blockGranularity(group: group)
            return found == divisors.first ? nil : "\(found), expected \(divisors)"
        }
        #expect(faults.description == "")
    }

    @Test func sliceEndsOfShardsTogetherAreThoseOfTheWhole() {
        var faults = Faults()
        faults.check(Self.lengths, Self.degrees) { length, degree, _ in
            shardFault(ContractionLayout(length: length, shardCount: degree), degree: degree)
        }
        faults.check(Array(1...64), Self.degrees, Self.headDimensions) { heads, degree, dimension in
            shardFault(ContractionLayout(length: heads * dimension, unit: dimension), degree: degree)
        }
        #expect(faults.description == "")
    }

    @Test func slicesNeverEndInsideARun() {
        var faults = Faults()
        faults.check(Self.lengths, Array(1...16), [1]) { length, degree, _ in
            let layout = ContractionLayout(length: length, shardCount: degree)
            for weights in [nil, (1...degree).map(Double.init)] {
                let group = ShardGroup(count: degree, weights: weights)
                for share in group.shares(of: length, unit: layout.unit) {
                    if share.lowerBound % layout.run != 0 && share.lowerBound != length {
                        return "\(share) starts inside a run"
                    }
                    let ends = layout.sliceEnds(of: share, in: group)
                    if ends.last != share.count { return "slices end at \(ends) of \(share)" }
                    if ends.contains(where: { $0 % layout.run != 0 && $0 != share.count }) {
                        return "\(ends) cuts a run of \(layout.run)"
                    }
                }
            }
            return nil
        }
        #expect(faults.description == "")
    }

    @Test func groupsNestOnlyWhenSubtreesAreWhole() {
        for count in 1...16 {
            #expect(ShardGroup(count: count).nestsInSlices == [1, 2, 4, 8].contains(count))
            // Equal weights are the same as no weights.
            #expect(ShardGroup(count: count, weights: Array(repeating: 2.5, count: count)) == ShardGroup(count: count))
        }
        #expect(!ShardGroup(count: 2, weights: [2, 1]).nestsInSlices)
    }

    @Test func sharesFollowTheGroup() {
        #expect(ShardGroup(count: 4).shares(of: 10) == bisectedRanges(of: 10, into: 4))
        #expect(ShardGroup(count: 3).shares(of: 10) == balancedRanges(of: 10, into: 3))
        #expect(ShardGroup(count: 2, weights: [3, 1]).shares(of: 64, unit: 8) == [0..<48, 48..<64])
    }

    private func shardFault(_ layout: ContractionLayout, degree: Int) -> String? {
        let whole = layout.sliceEnds(of: 0..<layout.length, in: ShardGroup(count: 1))
        let group = ShardGroup(count: degree)
        let shares = group.shares(of: layout.length, unit: layout.unit)
        let together = shares.flatMap { share in layout.sliceEnds(of: share, in: group).map { share.lowerBound + $0 } }
        guard whole.count == sliceCount, together == whole else { return "\(together), expected \(whole)" }
        return nil
    }
}

import TestSupport
import Testing
import Topology

@Suite struct HeadPlacementTests {
    @Test func everyQueryHeadOnceWithItsKeyValueHead() {
        var faults = Faults()
        faults.check(Array(1...64), Array(1...64), Array(1...16)) { queries, keyValues, degree in
            guard queries % keyValues == 0 else { return nil }
            return placementFault(queries, keyValues, ShardGroup(count: degree))
                ?? placementFault(queries, keyValues, ShardGroup(count: degree, weights: (1...degree).map(Double.init)))
        }
        #expect(faults.description == "")
    }

    @Test func headsAreCutWhereTheOutputProjectionIsCut() {
        var faults = Faults()
        faults.check(Array(1...64), Array(1...16), [8, 80, 128]) { queries, degree, dimension in
            let group = ShardGroup(count: degree)
            let columns = group.shares(of: queries * dimension, unit: dimension)
            for shard in 0..<degree {
                let heads = HeadPlacement(queryHeadCount: queries, keyValueHeadCount: 1, group: group, shard: shard)
                    .queryHeads
                if heads.lowerBound * dimension..<heads.upperBound * dimension != columns[shard] {
                    return "heads \(heads), columns \(columns[shard])"
                }
            }
            return nil
        }
        #expect(faults.description == "")
    }

    @Test func qwenOfTwoKeyValueHeadsOnFourRanks() {
        // The 14 query heads are divided as 4 + 3 + 4 + 3; each key-value head serves 7 of them.
        let placements = (0..<4).map {
            HeadPlacement(queryHeadCount: 14, keyValueHeadCount: 2, group: ShardGroup(count: 4), shard: $0)
        }
        #expect(placements.map(\.queryHeads) == [0..<4, 4..<7, 7..<11, 11..<14])
        #expect(placements.map(\.keyValueHeads) == [0..<1, 0..<1, 1..<2, 1..<2])
        // With 8 query heads and 2 key-value heads on 3 ranks, a cut falls inside a group: the middle rank keeps both.
        let middle = HeadPlacement(queryHeadCount: 8, keyValueHeadCount: 2, group: ShardGroup(count: 3), shard: 1)
        #expect(middle.queryHeads == 3..<6)
        #expect(middle.keyValueHeads == 0..<2)
        #expect(middle.keyValueHeadOfQuery == [0, 1, 1])
    }

    private func placementFault(_ queries: Int, _ keyValues: Int, _ group: ShardGroup) -> String? {
        var next = 0
        for shard in 0..<group.count {
            let placement = HeadPlacement(
                queryHeadCount: queries, keyValueHeadCount: keyValues, group: group, shard: shard)
            if placement.queryHeads.lowerBound != next {
                return "shard \(shard) starts at \(placement.queryHeads), not at \(next)"
            }
            next = placement.queryHeads.upperBound
            guard placement.keyValueHeadOfQuery.count == placement.queryHeads.count else {
                return "shard \(shard): a head reads nothing"
            }
            for (head, local) in zip(placement.queryHeads, placement.keyValueHeadOfQuery) {
                let read = placement.keyValueHeads.lowerBound + local
                guard placement.keyValueHeads.contains(read) else {
                    return "shard \(shard): head \(head) reads \(read), not kept"
                }
                // Query heads form `keyValues` consecutive groups of equal size.
                if read != head * keyValues / queries { return "shard \(shard): head \(head) reads \(read)" }
            }
            let read = Set(placement.keyValueHeadOfQuery)
            if read.count != placement.keyValueHeads.count {
                return "shard \(shard) keeps \(placement.keyValueHeads), reads \(read)"
            }
            if placement.keyValueHeadOfQuery != placement.keyValueHeadOfQuery.sorted() {
                return "shard \(shard): heads out of order"
            }
        }
        return next == queries ? nil : "heads end at \(next)"
    }
}

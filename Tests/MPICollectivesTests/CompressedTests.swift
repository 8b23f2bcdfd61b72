import Collectives
import MPICollectives
import TestSupport
import Testing

/// Sums in fewer bytes, over ranks that are threads.
@Suite struct CompressedTests {
    /// Values of very different sizes in neighbouring groups; the last group is cut short.
    private static func values(_ rank: Int, _ count: Int) -> [Float] {
        zip(Law.randomTerms(count: count, seed: UInt64(rank + 1)), 0..<count).map { value, index in
            value * (index / 32 % 5 == 0 ? 1e-3 : 1)
        }
    }

    @Test(arguments: [1, 2, 3, 4, 8], [1, 31, 32, 33, 100, 4099])
    func int8SumsAreAsExactAsPromised(ranks: Int, count: Int) throws {
        let terms = (0..<ranks).map { Self.values($0, count) }
        let sums = try withRanks(ranks) { group -> [Float] in
            var sums = terms[group.rank]
            try sums.withUnsafeMutableBufferPointer {
                try CompressedCommunicator(group, type: .int8).allReduce($0)
            }
            return sums
        }
        for sum in sums { #expect(sum.map(\.bitPattern) == sums[0].map(\.bitPattern), "ranks differ") }
        for group in stride(from: 0, to: count, by: 32) {
            let range = group..<min(count, group + 32)
            func largest(_ values: [Float]) -> Float { range.map { abs(values[$0]) }.max() ?? 0 }
            let exact = (0..<count).map { index in terms.reduce(Float(0)) { $0 + $1[index] } }
            // Half a scale of each term, and of the sum where that is rounded too.
            let bound =
                ranks == 1
                ? 0 : (terms.map(largest).reduce(0, +) + (ranks > 2 ? 1.01 * largest(exact) + 0.01 : 0)) / 252 * 1.001
            for index in range {
                #expect(abs(sums[0][index] - exact[index]) <= bound + 1e-6 * largest(exact), "element \(index)")
            }
        }
    }

    @Test func whatIsNoNumberStaysNone() throws {
        let sums = try withRanks(2) { group -> [Float] in
            var sums = [Float](repeating: 1, count: 96)
            sums[3] = group.rank == 0 ? .infinity : 1
            sums[40] = group.rank == 1 ? .nan : 1
            sums[70] = .leastNonzeroMagnitude
            try sums.withUnsafeMutableBufferPointer {
                try CompressedCommunicator(group, type: .int8).allReduce($0)
            }
            return sums
        }
        #expect(sums[0].prefix(64).allSatisfy { $0.isNaN })
        #expect(abs(sums[0][64] - 2) < 0.01 && sums[0][70] == 0)
    }

    @Test(arguments: [2, 3, 4]) func bfloat16SumsAreRoundedTwice(ranks: Int) throws {
        let sums = try withRanks(ranks) { group -> [Float] in
            var sums: [Float] = [1 + Float(group.rank) / 512, -3, 0.1]
            try sums.withUnsafeMutableBufferPointer {
                try CompressedCommunicator(group, type: .bfloat16).allReduce($0)
            }
            return sums
        }
        // 1/512 is lost beside 1; a tenth is 0.10009765625 in bfloat16, and its multiples are rounded again.
        #expect(sums[0][0] == Float(ranks) && sums[0][1] == Float(-3 * ranks))
        #expect(sums[0][2] == [2: 0.2001953125, 3: 0.30078125, 4: 0.400390625][ranks])
        #expect(Set(sums).count == 1)
    }

    /// What is no sum of float32 is left alone.
    @Test func theRestIsExact() throws {
        _ = try withRanks(3) { group in
            let compressed = CompressedCommunicator(group, type: .int8)
            let law = Law(group: compressed)
            try law.scatters()
            try law.gathers()
            try law.exchanges()
            try law.broadcasts()
            try law.sendsAround()
            var largest: [Float] = [Float(group.rank) + 0.123]
            try largest.withUnsafeMutableBytes {
                try compressed.allReduce(UnsafeRawBufferPointer($0), into: $0, .float32, .maximum)
            }
            try law.expect(largest == [2.123], "maximum")
        }
    }
}

import CCollectives
import Collectives
import Glibc
import TestSupport
import Testing

/// Collectives in shared memory, between threads: neither MPI nor another process takes part.
@Suite struct WindowTests {
    /// Slots that are small and do not divide anything, processors that must be shared, and a long slot.
    @Test(arguments: 1...5, [(4096, -1, Int.max), (12_288, 0, 1000), (128 << 10, 100, 0)])
    func windowsKeepTheLaw(ranks: Int, options: (slot: Int, spins: Int32, whole: Int)) throws {
        _ = try ThreadWindow.withRanks(ranks, slotByteCount: options.slot, spins: options.spins) { group in
            cc_window_set_whole_bytes(group.window, options.whole)
            try Law(group: group).check()
        }
    }

    /// Past the caches, where two ranks add up more than these hold.
    @Test func longSumsAreExact() throws {
        let count = 2_100_003
        _ = try ThreadWindow.withRanks(2, slotByteCount: 128 << 10) { group in
            let input = (0..<count).map { Float($0 % 1000 + group.rank) }
            // Aligned to cache lines, which such stores need.
            let output = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * count, alignment: 64)
            defer { output.deallocate() }
            try input.withUnsafeBytes { try group.allReduce($0, into: output, .float32, .sum) }
            let sums = output.bindMemory(to: Float.self)
            #expect(sums.indices.first { sums[$0] != Float(2 * ($0 % 1000) + 1) } == nil)
        }
    }

    @Test func everyRankLearnsWhoAskedForWhat() throws {
        let requests = try ThreadWindow.withRanks(3) { group -> [Int32] in
            var largest: Float = 0
            let status =
                group.rank == 1
                ? cc_window_barrier(group.window)
                : cc_window_all_reduce(group.window, CC_FLOAT32, CC_MAXIMUM, [1 as Float], &largest, 1)
            #expect(status == CC_WINDOW_MISMATCH)
            return (0..<3).map { cc_window_requested(group.window, $0).call }
        }
        let (barrier, allReduce) = (Int32(CC_WINDOW_BARRIER.rawValue), Int32(CC_WINDOW_ALL_REDUCE.rawValue))
        #expect(requests == [[Int32]](repeating: [allReduce, barrier, allReduce], count: 3))
    }

    @Test func whoDoesNotComeIsKnown() throws {
        let absent = try ThreadWindow.withRanks(3) { group -> [Int32] in
            cc_window_set_timeout(group.window, 50_000_000)
            guard group.rank != 1 else {
                usleep(300_000)
                return []
            }
            #expect(cc_window_barrier(group.window) == CC_WINDOW_TIMED_OUT)
            return (0..<3).filter { cc_window_is_absent(group.window, $0) }
        }
        #expect(absent == [[1], [], [1]])
    }

    @Test func waitingIsToldFromMoving() throws {
        let times = try ThreadWindow.withRanks(2) { group -> [UInt64] in
            if group.rank == 0 { usleep(50_000) }
            try group.barrier()
            let times = cc_window_take_times(group.window)
            return [times.wait, times.transfer]
        }
        #expect(times[1][0] > 40_000_000 && times[1][1] < 20_000_000, "\(times)")
    }
}

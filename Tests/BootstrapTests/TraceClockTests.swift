import Collectives
import Testing

@testable import Bootstrap

@Suite struct TraceClockTests {
    /// Ranks under other kernels have clocks that are ahead or behind; those under rank 0's kernel have its clock.
    @Test func clocksAreCompared() throws {
        // In nanoseconds: rank 1 shares rank 0's kernel, and its clock is not asked.
        let ahead: [Int64] = [0, 5_000_000_000, 1_000_000_000, -2_000_000_000]
        let kernels: [UInt64] = [7, 7, 8, 9]
        let offsets = try withRanks(4) { world in
            let clock = ContinuousClock.now
            return try TraceRecorder.clockOffset(over: world, kernel: kernels[world.rank]) {
                let passed = (ContinuousClock.now - clock).components
                return passed.seconds * 1_000_000_000 + passed.attoseconds / 1_000_000_000 + ahead[world.rank]
            }
        }
        #expect(offsets[0] == 0 && offsets[1] == 0)
        // Threads read their clocks within a second of each other, even on a busy machine.
        #expect(abs(offsets[2] + ahead[2]) < 900_000_000, "\(offsets)")
        #expect(abs(offsets[3] + ahead[3]) < 900_000_000, "\(offsets)")
    }
}

import MPICollectives
import Testing

@Suite struct WithMPITests {
    @Test func withoutALauncherThereIsOneRank() throws {
        var seen: (Int, Int)?
        withMPI {
            seen = ($0.rank, $0.size)
        } exitStatus: { _ in
            1
        } report: { _ in
        }
        #expect(seen ?? (1, 0) == (0, 1))
    }
}

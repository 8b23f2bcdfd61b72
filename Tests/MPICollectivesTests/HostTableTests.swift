import Testing

@testable import MPICollectives

/// Which hosts hold which ranks, as plain numbers.
@Suite struct HostTableTests {
    private func table(_ hosts: [Int]) -> HostTable {
        HostTable(hostOfRank: hosts, names: hosts.map { "host\($0)" })
    }

    @Test func sizesAreThoseOfNeighbours() {
        let hosts = table([0, 0, 1, 1, 1])
        #expect(hosts.sizes(of: [0, 1, 2, 3, 4]) == [2, 3])
        #expect(hosts.sizes(of: [4, 0]) == [1, 1])
        #expect(hosts.sizes(of: [0, 2, 1]) == nil)
        #expect(hosts.sizes(of: []) == [])
        #expect(!hosts.isOneHost && table([0, 0]).isOneHost)
    }

    @Test func ordersKeepTheFirstRankAndTheOrderOnEachHost() {
        let ordered = table([0, 1, 2, 0, 1]).ordered
        #expect(ordered.hostOfRank == [0, 0, 1, 1, 2])
        #expect(ordered.names == ["host0", "host0", "host1", "host1", "host2"])
        #expect(ordered.sizes(of: Array(0..<5)) == [2, 2, 1])
    }

    @Test func clocksAreComparedBetweenHostsOnly() {
        var hosts = table([0, 0, 1, 2])
        hosts.ahead = [0, 0, 100, -30]
        #expect(hosts.clocks(of: [0, 1, 2, 3], seenFrom: 2) == [100, 100, nil, 130])
        #expect(hosts.clocks(of: [3, 1], seenFrom: 0) == [30, nil])
    }
}

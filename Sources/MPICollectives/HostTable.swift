import Collectives

/// Which host each rank of a job runs on, and how far apart the hosts' clocks are.
///
/// It is learned once, at the start, and every group that is split from the group of all ranks gets a copy.
struct HostTable: Equatable, Sendable {
    /// The number of each rank's host; hosts are numbered from 0 in the order of their first ranks.
    let hostOfRank: [Int]
    /// The name of each rank's host.
    let names: [String]
    /// How far rank 0's clock is ahead of each rank's, in nanoseconds.
    ///
    /// Clocks are compared once. Later they drift apart, by less than a microsecond a second where NTP keeps the time.
    /// In runs of hours the division of time into waiting and moving becomes wrong; nothing else depends on it.
    var ahead: [Int64]

    /// Makes a table of hosts whose clocks have not been compared.
    init(hostOfRank: [Int], names: [String]) {
        self.hostOfRank = hostOfRank
        self.names = names
        ahead = [Int64](repeating: 0, count: hostOfRank.count)
    }

    /// Whether all ranks share one host.
    var isOneHost: Bool { hostOfRank.allSatisfy { $0 == 0 } }

    /// Counts how many of these ranks each host has.
    ///
    /// - Parameter ranks: numbers in the job.
    /// - Returns: the counts in the order of `ranks`; nil if the ranks of some host are not neighbours there.
    func sizes(of ranks: [Int]) -> [Int]? {
        var sizes: [Int] = []
        var known: Set<Int> = []
        var last: Int?
        for host in ranks.map({ hostOfRank[$0] }) {
            if host == last {
                sizes[sizes.count - 1] += 1
            } else {
                guard known.insert(host).inserted else { return nil }
                sizes.append(1)
            }
            last = host
        }
        return sizes
    }

    /// This table with the ranks renumbered, so that the ranks of each host are neighbours.
    var ordered: HostTable {
        let ranks = hostOfRank.indices.sorted { (hostOfRank[$0], $0) < (hostOfRank[$1], $1) }
        return HostTable(hostOfRank: ranks.map { hostOfRank[$0] }, names: ranks.map { names[$0] })
    }

    /// Gives how far the clocks of these ranks are ahead of the clock of `rank`, in nanoseconds; nil for ranks on its
    /// host.
    func clocks(of ranks: [Int], seenFrom rank: Int) -> [Int64?] {
        ranks.map { hostOfRank[$0] == hostOfRank[rank] ? nil : ahead[rank] - ahead[$0] }
    }
}

extension MPICommunicator {
    /// Learns which ranks share a host, for the group of all ranks; every rank must call it.
    func learnHosts() throws(CommunicationError) {
        let first = try splitByHost().gatherAll([rank])[0][0]
        let firsts = try gatherAll([first]).map { $0[0] }
        var numbers: [Int: Int] = [:]
        let hosts = firsts.map { first in
            if numbers[first] == nil { numbers[first] = numbers.count }
            return numbers[first] ?? 0
        }
        adopt(HostTable(hostOfRank: hosts, names: try gatherHostNames()))
    }

    /// Gives a group of all ranks in which the ranks of each host are neighbours; rank 0 keeps its number.
    ///
    /// Every rank must call it.
    func orderedByHost() throws(CommunicationError) -> MPICommunicator {
        guard let hosts = limits.hosts, hosts.sizes(of: worldRanks) == nil else { return self }
        let ordered = try splitMessages(color: 0, key: hosts.hostOfRank[rank])
        ordered.numberAnew()
        ordered.adopt(hosts.ordered)
        return ordered
    }

    /// Compares the clocks of other hosts with rank 0's; every rank must call it.
    func compareClocks() throws(CommunicationError) {
        guard var hosts = limits.hosts, !hosts.isOneHost else { return }
        let tag = MessageTag(rawValue: 0)
        let time = UnsafeMutableBufferPointer<Int64>.allocate(capacity: 1)
        defer { time.deallocate() }
        time.initialize(repeating: 0)
        let bytes = UnsafeMutableRawBufferPointer(time)
        // The shortest of some round trips was disturbed least: rank 0 read its clock half way.
        var best = (trip: Int64.max, ahead: Int64(0))
        let others = hosts.hostOfRank.indices.filter { hosts.hostOfRank[$0] != hosts.hostOfRank[0] }
        for other in others where rank == 0 || rank == other {
            for _ in 0..<50 {
                if rank == 0 {
                    try receive(into: bytes, from: other, tag: tag)
                    time[0] = OperationClock.now()
                    try send(UnsafeRawBufferPointer(bytes), to: other, tag: tag)
                } else {
                    let start = OperationClock.now()
                    try send(UnsafeRawBufferPointer(bytes), to: 0, tag: tag)
                    try receive(into: bytes, from: 0, tag: tag)
                    let trip = OperationClock.now() - start
                    if trip < best.trip { best = (trip, time[0] - (start + trip / 2)) }
                }
            }
        }
        hosts.ahead = try gatherAll([best.ahead]).map { $0[0] }
        adopt(hosts)
    }
}

/// Gives the name of every rank's host, in rank order, as it was learned at the start.
///
/// - Parameter world: the group that `withMPI` gave, or one that wraps it.
public func hostNames(of world: any Communicator) -> [String] {
    if let wrapped = world as? any WrappedCommunicator { return hostNames(of: wrapped.inner) }
    let hosts = (world as? MPICommunicator)?.limits.hosts
    return hosts?.names ?? [String](repeating: hostName(), count: world.size)
}

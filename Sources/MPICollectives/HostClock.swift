import Collectives

/// A host among those of a job, and its clock.
///
/// Clocks of different machines tell different times. Rank 0's is compared with that of every rank on another host once, at the
/// start. Since then they drift apart, by less than a microsecond a second where time is kept by NTP, so that in runs of
/// hours little of the division of time into waiting and moving is left. Nothing else depends on it.
struct HostClock {
    /// A number for the host, the same on all of its ranks.
    var number: Int
    /// How far rank 0's clock is ahead of this host's, in nanoseconds.
    var ahead: Int64
}

extension MPICommunicator {
    /// If ranks run on several hosts: notes which, and compares their clocks with rank 0's; every rank must call it.
    func learnHosts() throws(CommunicationError) {
        let first = try splitByHost().gatherAll([rank])[0][0]
        let hosts = try gatherAll([first]).map { $0[0] }
        guard Set(hosts).count > 1 else { return }
        limits.hostNames = try gatherHostNames()
        let tag = MessageTag(rawValue: 0)
        let time = UnsafeMutableBufferPointer<Int64>.allocate(capacity: 1)
        defer { time.deallocate() }
        time.initialize(repeating: 0)
        let bytes = UnsafeMutableRawBufferPointer(time)
        // The shortest of some round trips is the one least disturbed: rank 0 read its clock half way.
        var best = (trip: Int64.max, ahead: Int64(0))
        for other in hosts.indices where hosts[other] != hosts[0] && (rank == 0 || rank == other) {
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
        limits.host = HostClock(number: first, ahead: best.ahead)
        try learnClocks()
    }

    /// Tells the ranks of this group where their clocks stand.
    func learnClocks() throws(CommunicationError) {
        guard let host = limits.host else { return }
        let all = try gatherAll([Int64(host.number), host.ahead])
        clocks = all.map { $0[0] == Int64(host.number) ? nil : host.ahead - $0[1] }
    }
}

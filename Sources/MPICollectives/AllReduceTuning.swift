import Collectives

/// The sizes at which an all-reduce changes its algorithm.
///
/// They are measured at the start, or kept from an earlier run. Every algorithm gives the same bits.
public struct AllReduceTuning: Codable, Equatable, Sendable {
    /// The longest buffer, in bytes, that every rank of a host adds up whole.
    ///
    /// Each rank adds up a part of a longer buffer.
    public var sharedWholeByteCount = 16 << 10
    /// The longest buffer, in bytes, that ranks exchange whole by messages; longer ones are exchanged in parts.
    public var wholeByteCount = 8 << 10
    /// The longest buffer, in bytes, that one rank of each host exchanges with the other hosts for all ranks there.
    public var leaderByteCount = 16 << 10

    /// The number of ranks on each host; the sizes are right for no other division.
    public var hosts: [Int] = []

    /// Makes the sizes that are used where nothing was measured.
    public init() {}

    /// Whether no size is negative.
    public var isValid: Bool { min(sharedWholeByteCount, wholeByteCount, leaderByteCount) >= 0 }

    enum CodingKeys: String, CodingKey {
        case sharedWholeByteCount = "shared_whole_bytes"
        case wholeByteCount = "whole_bytes"
        case leaderByteCount = "leader_bytes"
        case hosts = "ranks_of_hosts"
    }
}

/// How collectives work; every rank must use the same options.
public struct CollectiveOptions: Sendable {
    /// What carries the operations.
    public var backend: Backend
    /// The format in which sums of float32 travel.
    public var wireType: WireType
    /// What the program wants ranks to compare before they exchange anything else.
    public var facts: [SharedFact]
    /// How long ranks wait for each other while the group is set up; nil for no limit.
    public var timeout: Duration?
    /// Called on rank 0; gives sizes to use instead of measuring them, or nil.
    public var savedTuning: (@Sendable () throws -> AllReduceTuning?)?
    /// Called on rank 0 with the sizes that were measured.
    public var saveTuning: (@Sendable (AllReduceTuning) throws -> Void)?

    /// Makes options with sizes that are measured at the start.
    ///
    /// With the defaults the fastest communicator is used, and a model gives the same answer with every plan.
    public init(backend: Backend = .auto, wireType: WireType = .float32) {
        self.backend = backend
        self.wireType = wireType
        facts = [("--backend", backend.rawValue), ("--all-reduce-dtype", wireType.rawValue)].map {
            SharedFact($0.0, $0.1, remedy: SharedFact.sameOptions)
        }
    }
}

extension MPICommunicator {
    /// Measures the sizes at which algorithms change, on this group of all ranks.
    ///
    /// Every rank must call it, and gets the same sizes. It takes some milliseconds on one host, and some hundred round
    /// trips over a network.
    func measuredTuning() throws(CommunicationError) -> AllReduceTuning {
        var tuning = limits.tuning
        let group = try fastest(wireType: .float32)
        if let group = group as? SharedMemoryCommunicator, size > 2 {
            tuning.sharedWholeByteCount = try lastSize(of: group, { group.wholeByteCount = $0 })
        } else if let group = group as? HierarchicalCommunicator {
            if let host = group.host as? SharedMemoryCommunicator, host.size > 2 {
                tuning.sharedWholeByteCount = try lastSize(of: host, { host.wholeByteCount = $0 })
            }
            if let peers = group.peers as? MPICommunicator, peers.size > 2 {
                tuning.wholeByteCount = try lastSize(of: peers, { peers.limits.tuning.wholeByteCount = $0 })
            }
            tuning = try agreed(on: tuning)
            limits.tuning.leaderByteCount = .max
            tuning.leaderByteCount = try lastSize(of: group, { self.limits.tuning.leaderByteCount = $0 })
        } else if let group = group as? MPICommunicator, size > 2 {
            tuning.wholeByteCount = try lastSize(of: group, { group.limits.tuning.wholeByteCount = $0 })
        }
        return try agreed(on: tuning)
    }

    /// Gives rank 0's sizes to every rank.
    func agreed(on tuning: AllReduceTuning) throws(CommunicationError) -> AllReduceTuning {
        let sizes = try gatherAll([tuning.sharedWholeByteCount, tuning.wholeByteCount, tuning.leaderByteCount])[0]
        var agreed = AllReduceTuning()
        agreed.hosts = tuning.hosts
        (agreed.sharedWholeByteCount, agreed.wholeByteCount, agreed.leaderByteCount) = (sizes[0], sizes[1], sizes[2])
        return agreed
    }

    /// Measures the longest buffer, among sizes in steps of four, for which the algorithm of short ones is faster.
    ///
    /// - Parameter limit: sets the size up to which `group` uses that algorithm.
    /// - Returns: the size in bytes.
    private func lastSize(
        of group: any Communicator, _ limit: (Int) -> Void
    ) throws(CommunicationError) -> Int {
        let memory = UnsafeMutableBufferPointer<Float>.allocate(capacity: 1 << 18)
        defer { memory.deallocate() }
        memory.initialize(repeating: 0)
        var last = 1 << 10
        for shift in stride(from: 12, through: 20, by: 2) {
            let values = UnsafeMutableBufferPointer(rebasing: memory[..<(1 << (shift - 2))])
            var best = [Int64.max, .max]
            for _ in 0..<5 {
                for (way, most) in [Int.max, 0].enumerated() {
                    limit(most)
                    try group.barrier()
                    let start = OperationClock.now()
                    try group.allReduce(values)
                    best[way] = min(best[way], OperationClock.now() - start)
                }
            }
            let slowest = try group.gatherAll(best).reduce([0, 0]) { [max($0[0], $1[0]), max($0[1], $1[1])] }
            guard slowest[0] <= slowest[1] else { break }
            last = 1 << shift
            // On a slow link, measuring longer buffers would delay the start noticeably.
            if slowest[1] > 20_000_000 { break }
        }
        limit(last)
        return last
    }
}

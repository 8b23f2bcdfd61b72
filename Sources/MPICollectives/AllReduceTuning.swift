import Collectives

/// At which sizes an all-reduce changes its way; measured at the start, or kept from an earlier run.
///
/// No way changes a bit of the result.
public struct AllReduceTuning: Codable, Equatable, Sendable {
    /// Inside a host: buffers up to this size are added up whole by every rank, longer ones in parts.
    public var sharedWholeByteCount = 16 << 10
    /// By messages: up to this size whole buffers are exchanged, longer ones in parts.
    public var wholeByteCount = 8 << 10
    /// Over hosts of several ranks: up to this size one rank of each host exchanges for all.
    public var leaderByteCount = 16 << 10

    /// How many ranks each host had; where hosts are others, other sizes are right.
    public var hosts: [Int] = []

    /// Sizes where nothing was measured.
    public init() {}

    /// Whether all are sizes.
    public var isValid: Bool { min(sharedWholeByteCount, wholeByteCount, leaderByteCount) >= 0 }

    enum CodingKeys: String, CodingKey {
        case sharedWholeByteCount = "shared_whole_bytes"
        case wholeByteCount = "whole_bytes"
        case leaderByteCount = "leader_bytes"
        case hosts = "ranks_of_hosts"
    }
}

/// How collectives work; the same on every rank.
public struct CollectiveOptions: Sendable {
    /// What carries them.
    public var backend: Backend
    /// As what sums of float32 travel.
    public var wireType: WireType
    /// What the program wants compared over the ranks before they exchange anything else.
    public var facts: [SharedFact]
    /// How long ranks wait for each other while they get to know each other; nil: for ever.
    public var timeout: Duration?
    /// Called on rank 0: sizes to use instead of measuring, or nil.
    public var savedTuning: (@Sendable () throws -> AllReduceTuning?)?
    /// Called on rank 0 with what was measured.
    public var saveTuning: (@Sendable (AllReduceTuning) throws -> Void)?

    /// The defaults: the fastest that gives the one answer of every plan, measured at the start.
    public init(backend: Backend = .auto, wireType: WireType = .float32) {
        self.backend = backend
        self.wireType = wireType
        facts = [("--backend", backend.rawValue), ("--all-reduce-dtype", wireType.rawValue)].map {
            SharedFact($0.0, $0.1, remedy: SharedFact.sameOptions)
        }
    }
}

extension MPICommunicator {
    /// Measures at which sizes ways change, on this group of all ranks; every rank must call it, and gets the same.
    ///
    /// Takes some milliseconds on a host, and over a network some hundred round trips.
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

    /// Rank 0's.
    func agreed(on tuning: AllReduceTuning) throws(CommunicationError) -> AllReduceTuning {
        let sizes = try gatherAll([tuning.sharedWholeByteCount, tuning.wholeByteCount, tuning.leaderByteCount])[0]
        var agreed = AllReduceTuning()
        agreed.hosts = tuning.hosts
        (agreed.sharedWholeByteCount, agreed.wholeByteCount, agreed.leaderByteCount) = (sizes[0], sizes[1], sizes[2])
        return agreed
    }

    /// The longest buffer for which the way of short ones is the faster, of sizes in steps of four.
    ///
    /// - Parameter limit: sets up to which size that way is taken.
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
            // A slow link: what it costs to measure on would be felt.
            if slowest[1] > 20_000_000 { break }
        }
        limit(last)
        return last
    }
}

import CCollectives
import Collectives

/// A group of ranks on several hosts, whose sums are added up inside each host first and then between hosts.
///
/// The ranks of each host are a subtree of `ReductionTree`, so that the order of additions is the same as in any other
/// group of this size. With n ranks on each host, one byte in n crosses the network. Operations that would not gain go
/// by messages.
public final class HierarchicalCommunicator: WrappedCommunicator {
    let messages: MPICommunicator
    public var inner: any Communicator { messages }
    /// The group of the ranks on this host.
    let host: any Communicator
    /// The group of the ranks that have this rank's place on every host.
    ///
    /// If hosts have different numbers of ranks, it is the group of the first rank of every host, and nil on the
    /// others.
    let peers: (any Communicator)?
    /// The number of each rank's host, and the rank's place there.
    private let hostOfRank: [Int]
    private let placeOfRank: [Int]
    private let isEven: Bool
    private var ownCount = OperationClock()
    private var scratch = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    /// Makes the groups inside hosts and between them; every rank of `messages` must call it.
    ///
    /// - Parameters:
    ///   - messages: all ranks, with those of each host as neighbours.
    ///   - sizes: the number of ranks on each host, for which `ReductionTree.nests` must hold.
    init(_ messages: MPICommunicator, sizes: [Int]) throws(CommunicationError) {
        self.messages = messages
        hostOfRank = sizes.indices.flatMap { [Int](repeating: $0, count: sizes[$0]) }
        placeOfRank = sizes.flatMap { Array(0..<$0) }
        isEven = Set(sizes).count == 1
        let host = try messages.splitMessages(color: hostOfRank[messages.rank], key: messages.rank)
        self.host = host.size > 1 ? try host.sharingMemory() : SoloCommunicator()
        let place = placeOfRank[messages.rank]
        let part = try messages.splitMessages(color: isEven ? place : min(place, 1), key: messages.rank)
        peers = isEven || place == 0 ? messages.limits.compressed(part) : nil
        timeout = messages.timeout
    }

    deinit {
        scratch.deallocate()
    }

    /// How long an operation waits inside a host.
    ///
    /// Between hosts it waits a second longer, so that the ranks of an absent rank's host are the first to name it.
    public var timeout: Duration? {
        get { host.timeout }
        set {
            host.timeout = newValue
            messages.timeout = newValue.map { $0 + .seconds(1) }
            peers?.timeout = messages.timeout
        }
    }

    public var times: CommunicationTimes {
        let parts = [host.times, peers?.times ?? CommunicationTimes(), messages.times]
        // The parts count their steps, which are not operations of this group.
        let own = ownCount.times
        return CommunicationTimes(
            wait: parts.reduce(.zero) { $0 + $1.wait }, transfer: parts.reduce(.zero) { $0 + $1.transfer },
            byteCount: own.byteCount + messages.times.byteCount,
            operationCount: own.operationCount + messages.times.operationCount)
    }

    /// Gives the place of the group inside the host, which is where the first step reads.
    public func place(ofByteCount byteCount: Int) throws(CommunicationError) -> UnsafeMutableRawPointer? {
        isForLeaders(byteCount) ? try host.place(ofByteCount: byteCount) : nil
    }

    private func isForLeaders(_ byteCount: Int) -> Bool {
        !isEven || byteCount <= messages.limits.tuning.leaderByteCount
    }

    public func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        // Partial sums of 16-bit types would be rounded.
        guard type == .float32 || type == .int8 else {
            return try messages.allReduce(input, into: output, type, reduction)
        }
        try requireReduction(input: input.count, output: output.count, type, .allReduce)
        ownCount.count(byteCount: input.count)
        // Shares consist of whole groups of codes, so that both algorithms round sums that travel as int8 alike.
        let granule = Int(CC_GROUP) * type.byteCount
        let shared = isForLeaders(input.count) ? 0 : input.count / granule / host.size * granule
        if shared > 0 {
            try reduceInParallel(
                UnsafeRawBufferPointer(rebasing: input[..<(shared * host.size)]),
                into: UnsafeMutableRawBufferPointer(rebasing: output[..<(shared * host.size)]), share: shared, type,
                reduction)
        }
        if shared * host.size < input.count || input.isEmpty {
            try reduceByLeaders(
                UnsafeRawBufferPointer(rebasing: input[(shared * host.size)...]),
                into: UnsafeMutableRawBufferPointer(rebasing: output[(shared * host.size)...]), type, reduction)
        }
    }

    /// Reduces a short buffer: the first rank of each host exchanges for all.
    private func reduceByLeaders(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try host.allReduce(input, into: output, type, reduction)
        if host.rank == 0 { try peers?.allReduce(UnsafeRawBufferPointer(output), into: output, type, reduction) }
        try host.broadcast(output, from: 0)
    }

    /// Reduces a long buffer: each rank of a host adds up a share, and exchanges it with its peers.
    private func reduceInParallel(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, share: Int, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        if scratch.count < share {
            scratch.deallocate()
            scratch = .allocate(byteCount: share, alignment: 64)
        }
        let mine = UnsafeMutableRawBufferPointer(rebasing: scratch[..<share])
        try host.reduceScatter(input, into: mine, type, reduction)
        try peers?.allReduce(UnsafeRawBufferPointer(mine), into: mine, type, reduction)
        try host.allGather(UnsafeRawBufferPointer(mine), into: output)
    }

    public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
        let part = try messages.split(color: color, key: key)
        part.timeout = timeout
        return part
    }

    /// Sends from the root to its host, from the first rank there to the first ranks of other hosts, and inside these
    /// hosts.
    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError) {
        try requireMember(root, .broadcast)
        ownCount.count(byteCount: bytes.count)
        let isRootsHost = hostOfRank[rank] == hostOfRank[root]
        if isRootsHost { try host.broadcast(bytes, from: placeOfRank[root]) }
        if host.rank == 0 { try peers?.broadcast(bytes, from: hostOfRank[root]) }
        if !isRootsHost { try host.broadcast(bytes, from: 0) }
    }
}

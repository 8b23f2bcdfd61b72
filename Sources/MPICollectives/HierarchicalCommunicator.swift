import CCollectives
import Collectives

/// A group of ranks on several hosts, each with neighbouring ranks: adds up inside each host, then between them.
///
/// Each host's ranks are a subtree of `ReductionTree`, so that the order of additions is that of any other group of the same
/// size. Only one in as many of the bytes as a host has ranks cross the network. What does not gain travels as messages.
public final class HierarchicalCommunicator: WrappedCommunicator {
    let messages: MPICommunicator
    public var inner: any Communicator { messages }
    /// The ranks of this host.
    let host: any Communicator
    /// The ranks of the same place on every host; of an uneven group, the first of every host, and nil for others.
    let peers: (any Communicator)?
    /// The host of each rank, and its place there.
    private let hostOfRank: [Int]
    private let placeOfRank: [Int]
    private let isEven: Bool
    private var ownCount = OperationClock()
    private var scratch = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    /// Every rank of `messages` must call it.
    ///
    /// - Parameters:
    ///   - sizes: how many ranks each host has; hosts hold neighbours, and nest.
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

    /// Between hosts it is longer by a second, so that a rank is named first by those that share its host.
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
        // Steps inside an operation are not counted as operations.
        let own = ownCount.times
        return CommunicationTimes(
            wait: parts.reduce(.zero) { $0 + $1.wait }, transfer: parts.reduce(.zero) { $0 + $1.transfer },
            byteCount: own.byteCount + messages.times.byteCount,
            operationCount: own.operationCount + messages.times.operationCount)
    }

    /// Where the first step inside the host reads.
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
        // 16-bit partial sums would be rounded.
        guard type == .float32 || type == .int8 else {
            return try messages.allReduce(input, into: output, type, reduction)
        }
        try requireReduction(input: input.count, output: output.count, type, .allReduce)
        ownCount.count(byteCount: input.count)
        // Shares of whole groups of codes, so that sums that travel as int8 do not depend on the way either.
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

    /// For small buffers: the first rank of each host exchanges for all.
    private func reduceByLeaders(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try host.allReduce(input, into: output, type, reduction)
        if host.rank == 0 { try peers?.allReduce(UnsafeRawBufferPointer(output), into: output, type, reduction) }
        try host.broadcast(output, from: 0)
    }

    /// For long buffers: each rank of a host adds up a share, and exchanges it with its peers.
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

    /// To the first rank of the root's host, from there to the other hosts, and inside each.
    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError) {
        try requireMember(root, .broadcast)
        ownCount.count(byteCount: bytes.count)
        let isRootsHost = hostOfRank[rank] == hostOfRank[root]
        if isRootsHost { try host.broadcast(bytes, from: placeOfRank[root]) }
        if host.rank == 0 { try peers?.broadcast(bytes, from: hostOfRank[root]) }
        if !isRootsHost { try host.broadcast(bytes, from: 0) }
    }
}

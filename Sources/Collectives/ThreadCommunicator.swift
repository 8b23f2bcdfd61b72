/// A group whose ranks are threads of this process, for tests and tools that must run without MPI.
///
/// `withRanks` makes it. When one rank fails, the others are released from their operations with an error.
public final class ThreadCommunicator: Communicator {
    /// This rank's number in the group, from 0.
    public let rank: Int
    private let group: ThreadGroup
    private var clock = OperationClock()
    /// How long an operation waits for other ranks; nil for no limit.
    public var timeout: Duration?

    init(group: ThreadGroup, rank: Int, timeout: Duration? = nil) {
        self.group = group
        self.rank = rank
        self.timeout = timeout
    }

    /// How many ranks the group has.
    public var size: Int { group.members.count }

    public var times: CommunicationTimes { clock.times }

    public func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: output.count, type, .allReduce)
        if input.baseAddress != UnsafeRawPointer(output.baseAddress) { output.copyMemory(from: input) }
        try together(.allReduce, output) { () throws(CommunicationError) in
            // Each rank reduces its own segment of all buffers, in place, and hands the results out.
            let count = output.count / type.byteCount
            let segment = ReductionTree.segment(ofCount: count, part: rank, parts: size)
            let start = segment.lowerBound * type.byteCount
            let terms = (0..<size).compactMap { group.deposits[$0].base.map { UnsafeRawPointer($0 + start) } }
            guard !segment.isEmpty, terms.count == size else { return }
            reduction.combine(
                terms, into: UnsafeMutableRawPointer(mutating: terms[0]), type, count: segment.count)
            for other in terms.dropFirst() {
                UnsafeMutableRawPointer(mutating: other).copyMemory(
                    from: terms[0], byteCount: segment.count * type.byteCount)
            }
        }
    }

    public func reduceScatter(
        _ input: UnsafeRawBufferPointer, into share: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: share.count, shares: size, type, .reduceScatter)
        try together(.reduceScatter, UnsafeMutableRawBufferPointer(mutating: input)) { () throws(CommunicationError) in
            let terms = (0..<size).compactMap {
                group.deposits[$0].base.map { UnsafeRawPointer($0 + rank * share.count) }
            }
            guard terms.count == size, let base = share.baseAddress else { return }
            reduction.combine(terms, into: base, type, count: share.count / type.byteCount)
        }
    }

    public func allGather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try requireBytes(all.count, mine.count * size, .allGather)
        try together(.allGather, UnsafeMutableRawBufferPointer(mutating: mine)) { () throws(CommunicationError) in
            for other in 0..<size {
                copy(from: other, into: all, at: other * mine.count)
            }
        }
    }

    public func allToAll(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try requireShares(input: input.count, output: output.count)
        let share = input.count / size
        try together(.allToAll, UnsafeMutableRawBufferPointer(mutating: input)) { () throws(CommunicationError) in
            guard let target = output.baseAddress else { return }
            for other in 0..<size {
                guard let source = group.deposits[other].base else { continue }
                (target + other * share).copyMemory(from: source + rank * share, byteCount: share)
            }
        }
    }

    public func gather(
        _ mine: UnsafeRawBufferPointer, byteCounts: [Int], into all: UnsafeMutableRawBufferPointer, to root: Int
    ) throws(CommunicationError) {
        try requireGather(mine: mine.count, byteCounts: byteCounts, all: all.count, root: root)
        try together(.gather, UnsafeMutableRawBufferPointer(mutating: mine), sameLength: false) {
            () throws(CommunicationError) in
            guard rank == root else { return }
            var offset = 0
            for other in 0..<size {
                let found = group.deposits[other].byteCount
                guard found == byteCounts[other] else {
                    throw .byteCountMismatch(
                        operation: "\(CollectiveOperation.gather)", rank: other, expected: byteCounts[other],
                        found: found)
                }
                copy(from: other, into: all, at: offset)
                offset += found
            }
        }
    }

    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError) {
        try requireMember(root, .broadcast)
        try together(.broadcast, bytes) { () throws(CommunicationError) in
            if rank != root { copy(from: root, into: bytes, at: 0) }
        }
    }

    public func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: MessageTag) throws(CommunicationError) {
        try requirePartner(rank, .send)
        try requireAllowed(tag)
        clock.start()
        let message = Array(bytes)
        try group.world.locked { () throws(CommunicationError) in
            group.world.post(message, to: mailbox(from: self.rank, to: rank, tag))
        }
        clock.finish(byteCount: bytes.count)
    }

    public func receive(
        into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: MessageTag
    ) throws(CommunicationError) {
        try requirePartner(rank, .receive)
        try requireAllowed(tag)
        clock.start()
        let box = mailbox(from: rank, to: self.rank, tag)
        let message = try group.world.locked { () throws(CommunicationError) in
            try group.world.wait(for: .receive, members: group.members, timeout: timeout) {
                [rank]
            } until: {
                group.world.hasMessage(in: box)
            }
            return group.world.take(from: box)
        }
        clock.addWait()
        guard let message, message.count == bytes.count else {
            throw .byteCountMismatch(
                operation: "\(CollectiveOperation.receive)", rank: rank, expected: bytes.count,
                found: message?.count ?? 0)
        }
        bytes.copyBytes(from: message)
        clock.finish(byteCount: bytes.count)
    }

    public func barrier() throws(CommunicationError) {
        clock.start()
        try group.meet(rank: rank, for: .barrier, timeout: timeout)
        clock.addWait()
        clock.finish(byteCount: 0)
    }

    public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
        let wish = ThreadGroup.Deposit(base: nil, byteCount: 0, color: color, key: key)
        try group.meet(rank: rank, for: .split, timeout: timeout, wish)
        let ranks = (0..<size)
            .filter { group.deposits[$0].color == color }
            .sorted { (group.deposits[$0].key, $0) < (group.deposits[$1].key, $1) }
        let subgroup = try group.subgroup(color: color, ranks: ranks)
        try group.meet(rank: rank, for: .split, mustComplete: true)
        return ThreadCommunicator(group: subgroup, rank: ranks.firstIndex(of: rank) ?? 0, timeout: timeout)
    }

    /// Runs `body` while the ranks can read each other's buffers.
    private func together(
        _ operation: CollectiveOperation, _ bytes: UnsafeMutableRawBufferPointer, sameLength: Bool = true,
        _ body: () throws(CommunicationError) -> Void
    ) throws(CommunicationError) {
        clock.start()
        let deposit = ThreadGroup.Deposit(base: bytes.baseAddress, byteCount: bytes.count)
        try group.meet(rank: rank, for: operation, timeout: timeout, deposit)
        clock.addWait()
        var failure: CommunicationError?
        if sameLength, let odd = group.deposits.firstIndex(where: { $0.byteCount != group.deposits[0].byteCount }) {
            failure = .byteCountMismatch(
                operation: "\(operation)", rank: odd, expected: group.deposits[0].byteCount,
                found: group.deposits[odd].byteCount)
        } else {
            do { try body() } catch { failure = error }
        }
        // The ranks meet again even after a failure, because others may still be reading this rank's buffer.
        try group.meet(rank: rank, for: operation, mustComplete: true)
        if let failure { throw failure }
        clock.finish(byteCount: bytes.count)
    }

    private func copy(from rank: Int, into all: UnsafeMutableRawBufferPointer, at offset: Int) {
        let deposit = group.deposits[rank]
        guard let source = deposit.base, let target = all.baseAddress else { return }
        (target + offset).copyMemory(from: source, byteCount: deposit.byteCount)
    }

    private func mailbox(from sender: Int, to receiver: Int, _ tag: MessageTag) -> ThreadWorld.Mailbox {
        ThreadWorld.Mailbox(group: ObjectIdentifier(group), sender: sender, receiver: receiver, tag: tag.rawValue)
    }
}

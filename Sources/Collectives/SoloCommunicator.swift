/// A group of one rank: every operation is the identity, and there is no one to send to.
public final class SoloCommunicator: Communicator {
    /// Bytes and operations so far; a group of one spends no time on them.
    public private(set) var times = CommunicationTimes()

    /// Has no effect, because there is no one to wait for.
    public var timeout: Duration?

    /// Makes a group of one.
    public init() {}

    /// Always 0.
    public var rank: Int { 0 }

    /// Always 1.
    public var size: Int { 1 }

    public func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: output.count, type, .allReduce)
        if input.baseAddress != UnsafeRawPointer(output.baseAddress) { output.copyMemory(from: input) }
        record(input.count)
    }

    public func reduceScatter(
        _ input: UnsafeRawBufferPointer, into share: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: share.count, type, .reduceScatter)
        share.copyMemory(from: input)
        record(input.count)
    }

    public func allGather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try requireBytes(all.count, mine.count, .allGather)
        all.copyMemory(from: mine)
        record(mine.count)
    }

    public func allToAll(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try requireShares(input: input.count, output: output.count)
        output.copyMemory(from: input)
        record(input.count)
    }

    public func gather(
        _ mine: UnsafeRawBufferPointer, byteCounts: [Int], into all: UnsafeMutableRawBufferPointer, to root: Int
    ) throws(CommunicationError) {
        try requireGather(mine: mine.count, byteCounts: byteCounts, all: all.count, root: root)
        all.copyMemory(from: mine)
        record(mine.count)
    }

    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError) {
        try requireMember(root, .broadcast)
        record(bytes.count)
    }

    public func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: MessageTag) throws(CommunicationError) {
        try requirePartner(rank, .send)
    }

    public func receive(
        into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: MessageTag
    ) throws(CommunicationError) {
        try requirePartner(rank, .receive)
    }

    public func barrier() throws(CommunicationError) {
        record(0)
    }

    public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
        SoloCommunicator()
    }

    private func record(_ byteCount: Int) {
        times.byteCount += byteCount
        times.operationCount += 1
    }
}

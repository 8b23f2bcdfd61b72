/// A communicator that does some operations itself and passes the others on to another communicator of the same ranks.
public protocol WrappedCommunicator: Communicator {
    /// The communicator that does the other operations.
    var inner: any Communicator { get }
}

extension WrappedCommunicator {
    public var rank: Int { inner.rank }

    public var size: Int { inner.size }

    public var times: CommunicationTimes { inner.times }

    public var timeout: Duration? {
        get { inner.timeout }
        set { inner.timeout = newValue }
    }

    public func reduceScatter(
        _ input: UnsafeRawBufferPointer, into share: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try inner.reduceScatter(input, into: share, type, reduction)
    }

    public func allGather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try inner.allGather(mine, into: all)
    }

    public func allToAll(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try inner.allToAll(input, into: output)
    }

    public func gather(
        _ mine: UnsafeRawBufferPointer, byteCounts: [Int], into all: UnsafeMutableRawBufferPointer, to root: Int
    ) throws(CommunicationError) {
        try inner.gather(mine, byteCounts: byteCounts, into: all, to: root)
    }

    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError) {
        try inner.broadcast(bytes, from: root)
    }

    public func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: MessageTag) throws(CommunicationError) {
        try inner.send(bytes, to: rank, tag: tag)
    }

    public func receive(
        into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: MessageTag
    ) throws(CommunicationError) {
        try inner.receive(into: bytes, from: rank, tag: tag)
    }

    public func barrier() throws(CommunicationError) {
        try inner.barrier()
    }

    public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
        try inner.split(color: color, key: key)
    }
}

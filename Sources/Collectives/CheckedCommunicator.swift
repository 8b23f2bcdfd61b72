import Hashing

/// A communicator that compares what the ranks ask for before each operation.
///
/// Where they differ it throws an error that names the ranks and their wishes; without it the group would hang or
/// exchange nonsense. Each operation costs a small all-gather, which counts in the inner communicator's times; a
/// message from rank to rank is preceded by a small header instead. `place(ofByteCount:)` gives no place, because the
/// comparison would overwrite it. It does not notice a rank that sends while another enters an operation of the whole
/// group, because these two never compare.
public final class CheckedCommunicator: WrappedCommunicator {
    public let inner: any Communicator
    private var sequence = 0
    private let mine = UnsafeMutablePointer<Request>.allocate(capacity: 1)
    private let all: UnsafeMutablePointer<Request>

    /// Wraps a communicator, which must not be used directly from then on.
    public init(_ inner: any Communicator) {
        self.inner = inner
        all = .allocate(capacity: inner.size)
        mine.initialize(to: Request(.barrier))
        all.initialize(repeating: Request(.barrier), count: inner.size)
    }

    deinit {
        mine.deallocate()
        all.deallocate()
    }

    public func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try compare(.allReduce, byteCount: input.count, detail: Self.detail(type, reduction))
        try inner.allReduce(input, into: output, type, reduction)
    }

    public func reduceScatter(
        _ input: UnsafeRawBufferPointer, into share: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try compare(.reduceScatter, byteCount: input.count, detail: Self.detail(type, reduction))
        try inner.reduceScatter(input, into: share, type, reduction)
    }

    public func allGather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try compare(.allGather, byteCount: mine.count)
        try inner.allGather(mine, into: all)
    }

    public func allToAll(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try compare(.allToAll, byteCount: input.count)
        try inner.allToAll(input, into: output)
    }

    public func gather(
        _ mine: UnsafeRawBufferPointer, byteCounts: [Int], into all: UnsafeMutableRawBufferPointer, to root: Int
    ) throws(CommunicationError) {
        // The lists must be equal; comparing digests keeps the request short.
        var digest = FNV1a()
        for count in byteCounts { digest.add(UInt64(bitPattern: Int64(count))) }
        try compare(.gather, root: root, byteCount: byteCounts.reduce(0, +), detail: digest.value)
        try inner.gather(mine, byteCounts: byteCounts, into: all, to: root)
    }

    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError) {
        try compare(.broadcast, root: root, byteCount: bytes.count)
        try inner.broadcast(bytes, from: root)
    }

    public func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: MessageTag) throws(CommunicationError) {
        mine.pointee = Request(
            .send, root: rank, byteCount: bytes.count, detail: UInt64(bitPattern: Int64(tag.rawValue)))
        try inner.send(Self.bytes(mine, 1), to: rank, tag: tag)
        try inner.send(bytes, to: rank, tag: tag)
    }

    public func receive(
        into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: MessageTag
    ) throws(CommunicationError) {
        try inner.receive(into: Self.mutableBytes(mine, 1), from: rank, tag: tag)
        guard mine.pointee.operation == CollectiveOperation.send.rawValue, mine.pointee.byteCount == Int64(bytes.count)
        else {
            throw .byteCountMismatch(
                operation: "receive of tag \(tag.rawValue) from rank \(rank)", rank: rank, expected: bytes.count,
                found: Int(mine.pointee.byteCount))
        }
        try inner.receive(into: bytes, from: rank, tag: tag)
    }

    public func barrier() throws(CommunicationError) {
        try compare(.barrier)
        try inner.barrier()
    }

    /// Makes a part of the group, which is checked as well.
    public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
        try compare(.split)
        return CheckedCommunicator(try inner.split(color: color, key: key))
    }

    private func compare(
        _ operation: CollectiveOperation, root: Int = -1, byteCount: Int = 0, detail: UInt64 = 0
    ) throws(CommunicationError) {
        sequence += 1
        mine.pointee = Request(operation, sequence: sequence, root: root, byteCount: byteCount, detail: detail)
        try inner.allGather(Self.bytes(mine, 1), into: Self.mutableBytes(all, size))
        let requests = UnsafeBufferPointer(start: all, count: size)
        guard requests.allSatisfy({ $0 == requests[0] }) else {
            throw .differingRequests(sequence: sequence, wanted: requests.map(\.description))
        }
    }

    private static func detail(_ type: ReducedType, _ reduction: Reduction) -> UInt64 {
        UInt64(type.rawValue) << 8 | UInt64(reduction.rawValue)
    }

    private static func bytes(_ requests: UnsafeMutablePointer<Request>, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(mutableBytes(requests, count))
    }

    private static func mutableBytes(
        _ requests: UnsafeMutablePointer<Request>, _ count: Int
    ) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: requests, count: count * MemoryLayout<Request>.stride)
    }
}

/// What one rank wants to do next, in the 32 bytes that ranks exchange.
///
/// The fields leave no padding, so that requests can be compared byte by byte.
private struct Request: Equatable, CustomStringConvertible {
    var sequence: Int64
    /// The number of a `CollectiveOperation`; it is not the enum itself, because another rank may send any number.
    var operation: Int32
    var root: Int32
    var byteCount: Int64
    /// The digest of a gather's sizes, a message's tag, or the numbers of a reduction and of its type.
    var detail: UInt64

    init(_ operation: CollectiveOperation, sequence: Int = 0, root: Int = -1, byteCount: Int = 0, detail: UInt64 = 0) {
        self.sequence = Int64(sequence)
        self.operation = operation.rawValue
        self.root = Int32(truncatingIfNeeded: root)
        self.byteCount = Int64(byteCount)
        self.detail = detail
    }

    var description: String {
        CollectiveWish(
            operation: operation, byteCount: Int(byteCount), root: Int(root), type: Int32(detail >> 8 & 0xFF),
            reduction: Int32(detail & 0xFF), sizes: detail
        ).description
    }
}

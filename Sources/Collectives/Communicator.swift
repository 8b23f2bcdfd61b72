/// A group of ranks that can exchange data.
///
/// Every rank of the group must call the same operations in the same order. One thread of a rank uses a
/// communicator; the protocol is not `Sendable`, so that the compiler refuses to share one.
public protocol Communicator: AnyObject {
    /// This rank's number in the group, from 0.
    var rank: Int { get }

    /// How many ranks the group has.
    var size: Int { get }

    /// Gives every rank the reduction of each element over the group, in the order of `ReductionTree`.
    ///
    /// Every rank receives the same bits, and they do not depend on the length of the buffers.
    ///
    /// - Parameters:
    ///   - input: this rank's elements. They may lie in `output`, in the memory that `place(ofByteCount:)` gave, or in
    ///     memory that overlaps neither.
    ///   - output: room for the results, as many bytes as `input`.
    func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError)

    /// Gives memory that the other ranks read, so that an `allReduce` need not copy its input there; nil if there is
    /// none.
    ///
    /// The `allReduce` must be the next operation: any other one overwrites the memory.
    func place(ofByteCount byteCount: Int) throws(CommunicationError) -> UnsafeMutableRawPointer?

    /// Gives each rank the reduction of its own share of the elements.
    ///
    /// - Parameters:
    ///   - input: `size` shares of equal length, in rank order.
    ///   - share: room for one share, which must not overlap `input`.
    func reduceScatter(
        _ input: UnsafeRawBufferPointer, into share: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError)

    /// Gives every rank the bytes of all ranks, in rank order; every rank gives the same number of bytes.
    func allGather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError)

    /// Gives each rank its share of every rank's bytes.
    ///
    /// Expert parallelism needs it, to move tokens to the ranks that hold their experts and back. No layer does that
    /// yet: until then the benchmark and sums that travel as int8 are its only users.
    ///
    /// - Parameters:
    ///   - input: a share for each rank, all of equal length, in rank order.
    ///   - output: room for a share from each rank, in rank order, which must not overlap `input`.
    func allToAll(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError)

    /// Gives `root` the bytes of all ranks, in rank order; rank `r` gives `byteCounts[r]` of them.
    ///
    /// Every rank passes the same `byteCounts`. On ranks other than the root `all` is not used and may be empty.
    func gather(
        _ mine: UnsafeRawBufferPointer, byteCounts: [Int], into all: UnsafeMutableRawBufferPointer, to root: Int
    ) throws(CommunicationError)

    /// Gives every rank the bytes of `root`; every rank gives a buffer of the same length.
    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError)

    /// Sends to one other rank, which must receive with the same tag and length.
    ///
    /// May wait until the other rank does so.
    func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: MessageTag) throws(CommunicationError)

    /// Receives what another rank sends with the same tag and length.
    func receive(
        into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: MessageTag
    ) throws(CommunicationError)

    /// Waits until every rank of the group has called it.
    func barrier() throws(CommunicationError)

    /// Makes a group of the ranks that give the same `color`, ordered by `key` and then by rank.
    ///
    /// Every rank of this group must call it.
    func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator

    /// How long an operation waits for other ranks before it throws `CommunicationError.timedOut`; nil for no limit.
    ///
    /// Groups that are split from this one begin with its timeout. After that error the job can only be ended.
    var timeout: Duration? { get set }

    /// Time and bytes of the operations of this rank on this communicator so far.
    var times: CommunicationTimes { get }
}

extension Communicator {
    public func place(ofByteCount byteCount: Int) throws(CommunicationError) -> UnsafeMutableRawPointer? { nil }

    /// Replaces each element by its sum over the group.
    public func allReduce(_ buffer: UnsafeMutableBufferPointer<Float>) throws(CommunicationError) {
        let bytes = UnsafeMutableRawBufferPointer(buffer)
        try allReduce(UnsafeRawBufferPointer(bytes), into: bytes, .float32, .sum)
    }
}

extension Communicator {
    /// Runs `body` without a timeout, because what it waits for may take any time.
    public func patiently(_ body: () throws(CommunicationError) -> Void) throws(CommunicationError) {
        let limit = timeout
        timeout = nil
        defer { timeout = limit }
        try body()
    }

    /// Gives every rank's elements, in rank order; every rank gives the same number of elements.
    public func gatherAll<Element: BitwiseCopyable>(_ mine: [Element]) throws(CommunicationError) -> [[Element]] {
        var all = (0..<size).flatMap { _ in mine }
        do {
            try mine.withUnsafeBytes { mine in
                try all.withUnsafeMutableBytes { try allGather(mine, into: $0) }
            }
        } catch let error as CommunicationError {
            throw error
        } catch {
            preconditionFailure("allGather throws nothing else")
        }
        return (0..<size).map { Array(all[$0 * mine.count..<($0 + 1) * mine.count]) }
    }

    /// Gives the first 64 bytes of the name of every rank's host, in rank order.
    public func gatherHostNames() throws(CommunicationError) -> [String] {
        let name = Array(hostName().utf8.prefix(64))
        return try gatherAll(name + [UInt8](repeating: 0, count: 64 - name.count)).map {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}

/// A number that tells messages between the same two ranks apart.
public struct MessageTag: RawRepresentable, Hashable, Sendable {
    /// The number that travels with the message.
    public let rawValue: Int32

    /// Makes a tag; operations refuse a tag outside `allowed`.
    public init(rawValue: Int32) {
        self.rawValue = rawValue
    }

    /// The tags that every communicator accepts.
    ///
    /// MPI guarantees 0 to 32767; the upper half is kept for collectives.
    public static let allowed: ClosedRange<Int32> = 0...16383
}

/// The times and counts of a communicator's operations: waiting, moving bytes, bytes and operations.
public struct CommunicationTimes: Equatable, Sendable {
    /// Time until the partners arrived.
    public var wait: Duration
    /// Time to move and add bytes once the partners had arrived.
    public var transfer: Duration
    /// Bytes of this rank's buffers that were exchanged, counted once for each operation.
    public var byteCount: Int
    /// Operations completed.
    public var operationCount: Int

    /// Makes a record of these times and counts.
    public init(wait: Duration = .zero, transfer: Duration = .zero, byteCount: Int = 0, operationCount: Int = 0) {
        self.wait = wait
        self.transfer = transfer
        self.byteCount = byteCount
        self.operationCount = operationCount
    }

    /// Adds up the times of two communicators.
    public static func + (one: Self, other: Self) -> Self {
        Self(
            wait: one.wait + other.wait, transfer: one.transfer + other.transfer,
            byteCount: one.byteCount + other.byteCount, operationCount: one.operationCount + other.operationCount)
    }

    /// Gives the times since an earlier reading.
    public static func - (later: Self, earlier: Self) -> Self {
        Self(
            wait: later.wait - earlier.wait, transfer: later.transfer - earlier.transfer,
            byteCount: later.byteCount - earlier.byteCount,
            operationCount: later.operationCount - earlier.operationCount)
    }
}

/// Checks of arguments that every conformance makes, so that their errors are the same.
extension Communicator {
    package func requirePartner(_ partner: Int, _ operation: CollectiveOperation) throws(CommunicationError) {
        try requireMember(partner, operation)
        if partner == rank { throw .toItself(operation: "\(operation)", rank: partner) }
    }

    package func requireMember(_ member: Int, _ operation: CollectiveOperation) throws(CommunicationError) {
        guard (0..<size).contains(member) else {
            throw .noSuchRank(operation: "\(operation)", rank: member, groupSize: size)
        }
    }

    package func requireAllowed(_ tag: MessageTag) throws(CommunicationError) {
        guard MessageTag.allowed.contains(tag.rawValue) else { throw .tagNotAllowed(tag) }
    }

    package func requireBytes(
        _ found: Int, _ expected: Int, _ operation: CollectiveOperation
    ) throws(CommunicationError) {
        guard found == expected else {
            throw .byteCountMismatch(operation: "\(operation)", rank: rank, expected: expected, found: found)
        }
    }

    /// Checks that a reduction's output holds whole elements, and that `input` is `shares` times as long.
    package func requireReduction(
        input: Int, output: Int, shares: Int = 1, _ type: ReducedType, _ operation: CollectiveOperation
    ) throws(CommunicationError) {
        try requireBytes(input, output * shares, operation)
        try requireBytes(output, output / type.byteCount * type.byteCount, operation)
    }

    /// Checks that an all-to-all's buffers are equally long and hold whole shares.
    package func requireShares(input: Int, output: Int) throws(CommunicationError) {
        try requireBytes(output, input, .allToAll)
        try requireBytes(input, input / size * size, .allToAll)
    }

    /// Checks a gather's root, and its sizes on this rank.
    package func requireGather(
        mine: Int, byteCounts: [Int], all: Int, root: Int
    ) throws(CommunicationError) {
        try requireMember(root, .gather)
        guard byteCounts.count == size else {
            throw .byteCountMismatch(
                operation: "\(CollectiveOperation.gather)'s list of byte counts", rank: rank, expected: size,
                found: byteCounts.count)
        }
        try requireBytes(mine, byteCounts[rank], .gather)
        if rank == root { try requireBytes(all, byteCounts.reduce(0, +), .gather) }
    }
}

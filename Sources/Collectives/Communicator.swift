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
    ///   - input: this rank's elements; `place(ofByteCount:)`, the memory of `output` itself, or apart from it.
    ///   - output: as many bytes, for the results.
    func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError)

    /// Memory where an input of the next operation, an `allReduce`, need not be copied from; nil where there is none.
    ///
    /// What was written there is lost if another operation comes first.
    func place(ofByteCount byteCount: Int) throws(CommunicationError) -> UnsafeMutableRawPointer?

    /// Gives each rank the reduction of its own share of the elements: of `size` equal ones, in rank order.
    ///
    /// - Parameters:
    ///   - input: `size` shares.
    ///   - share: room for one of them, apart from `input`.
    func reduceScatter(
        _ input: UnsafeRawBufferPointer, into share: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError)

    /// Gives every rank the bytes of all ranks, in rank order; every rank gives equally many.
    func allGather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError)

    /// Gives each rank its share of every rank's bytes: of `size` equal ones, in rank order both ways.
    ///
    /// It is what moves tokens to their experts and back where ranks divide the experts of a model among them. No layer does
    /// that yet: until then the benchmark and sums that travel as int8 are its only users.
    ///
    /// - Parameters:
    ///   - input: a share for each rank.
    ///   - output: as many bytes, apart from `input`: a share from each rank.
    func allToAll(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError)

    /// Gives `root` the bytes of all ranks, in rank order; rank `r` gives `byteCounts[r]`.
    ///
    /// Every rank passes the same `byteCounts`. `all` is not looked at off the root and may be empty there.
    func gather(
        _ mine: UnsafeRawBufferPointer, byteCounts: [Int], into all: UnsafeMutableRawBufferPointer, to root: Int
    ) throws(CommunicationError)

    /// Gives every rank the bytes of `root`; every rank gives a buffer of the same length.
    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError)

    /// Sends to one other rank, which must receive with the same tag and length. May wait until it does.
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

    /// How long an operation waits for other ranks before it throws `CommunicationError.timedOut`; nil: for ever.
    ///
    /// Groups that are split from this one begin with its timeout. After it has been thrown the job can only be ended.
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

    /// Every rank's elements, in rank order; all give equally many.
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

    /// The name of every rank's host, in rank order; of a long one the first 64 bytes.
    public func gatherHostNames() throws(CommunicationError) -> [String] {
        let name = Array(hostName().utf8.prefix(64))
        return try gatherAll(name + [UInt8](repeating: 0, count: 64 - name.count)).map {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}

/// Keeps messages between the same two ranks apart.
public struct MessageTag: RawRepresentable, Hashable, Sendable {
    /// The number that travels with the message.
    public let rawValue: Int32

    /// Makes a tag; those outside `allowed` are refused when they are used.
    public init(rawValue: Int32) {
        self.rawValue = rawValue
    }

    /// Tags that every communicator takes: MPI promises 0 to 32767, and the upper half is kept for collectives.
    public static let allowed: ClosedRange<Int32> = 0...16383
}

/// Where the time of a communicator's operations went.
public struct CommunicationTimes: Equatable, Sendable {
    /// Time until partners arrived.
    public var wait: Duration
    /// Time to move bytes and add, from the partners' arrival on.
    public var transfer: Duration
    /// Bytes of this rank's buffers that were exchanged, counted once an operation.
    public var byteCount: Int
    /// Operations completed.
    public var operationCount: Int

    /// Makes a record; all zero unless told otherwise.
    public init(wait: Duration = .zero, transfer: Duration = .zero, byteCount: Int = 0, operationCount: Int = 0) {
        self.wait = wait
        self.transfer = transfer
        self.byteCount = byteCount
        self.operationCount = operationCount
    }

    /// The times of two communicators together.
    public static func + (one: Self, other: Self) -> Self {
        Self(
            wait: one.wait + other.wait, transfer: one.transfer + other.transfer,
            byteCount: one.byteCount + other.byteCount, operationCount: one.operationCount + other.operationCount)
    }

    /// What happened since an earlier reading.
    public static func - (later: Self, earlier: Self) -> Self {
        Self(
            wait: later.wait - earlier.wait, transfer: later.transfer - earlier.transfer,
            byteCount: later.byteCount - earlier.byteCount,
            operationCount: later.operationCount - earlier.operationCount)
    }
}

/// The checks that every conformance makes of its arguments, in one place so that their errors agree.
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

    /// Checks a reduction's sizes on this rank: whole elements, and as many out as go in (`shares` times).
    package func requireReduction(
        input: Int, output: Int, shares: Int = 1, _ type: ReducedType, _ operation: CollectiveOperation
    ) throws(CommunicationError) {
        try requireBytes(input, output * shares, operation)
        try requireBytes(output, output / type.byteCount * type.byteCount, operation)
    }

    /// Checks the sizes of an exchange of everyone with everyone on this rank.
    package func requireShares(input: Int, output: Int) throws(CommunicationError) {
        try requireBytes(output, input, .allToAll)
        try requireBytes(input, input / size * size, .allToAll)
    }

    /// Checks a gather's sizes on this rank.
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

import CMPI
import Collectives

/// A group of MPI ranks.
///
/// Everything but the barrier is made of messages from rank to rank, because only those tell the wait for a partner
/// from the movement of its bytes: a send is started, then `MPI_Mprobe` returns when the partner's message is there.
/// A sender cannot know when its receiver arrives, so a `send` that must wait for it counts as transfer.
public final class MPICommunicator: Communicator {
    /// This rank's number in the group, from 0.
    public let rank: Int
    /// How many ranks the group has.
    public let size: Int
    let limits: MPILimits
    let handle: cmpi_group
    private let ownsHandle: Bool
    private let requests: UnsafeMutablePointer<cmpi_request>
    private var requestCount: Int32 = 0
    private var scratch = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    let terms: UnsafeMutablePointer<UnsafeRawPointer>
    var clock = OperationClock()

    init(handle: cmpi_group, owned: Bool, limits: MPILimits = MPILimits()) throws(CommunicationError) {
        var rank: Int32 = 0
        var size: Int32 = 0
        try check(cmpi_rank(handle, &rank), "MPI_Comm_rank")
        try check(cmpi_size(handle, &size), "MPI_Comm_size")
        self.handle = handle
        self.limits = limits
        self.rank = Int(rank)
        self.size = Int(size)
        ownsHandle = owned
        requests = .allocate(capacity: max(1, Int(size)))
        terms = .allocate(capacity: max(2, Int(size)))
    }

    deinit {
        requests.deallocate()
        terms.deallocate()
        scratch.deallocate()
        // After MPI has ended its handles are gone; and nothing here may wait for ranks that may never come.
        if ownsHandle, cmpi_is_running() == 1 { _ = cmpi_free(handle) }
    }

    public var times: CommunicationTimes { clock.times }

    public func barrier() throws(CommunicationError) {
        clock.start()
        try check(cmpi_barrier(handle), "MPI_Barrier")
        clock.addWait()
        clock.finish(byteCount: 0)
    }

    public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
        try splitMessages(color: color, key: key).fastest()
    }

    /// `split`, into a group that exchanges messages only.
    func splitMessages(color: Int, key: Int) throws(CommunicationError) -> MPICommunicator {
        // MPI takes colors from 0 up in 32 bits; any two Ints that differ must stay apart, so colors are numbered.
        let number = try ordinal(ofColor: color)
        let place = try ordinal(ofKey: key)
        var group = cmpi_group()
        try check(cmpi_split(handle, number, place, &group), "MPI_Comm_split")
        return try MPICommunicator(handle: group, owned: true, limits: limits)
    }

    /// Makes a group of the ranks that share this rank's host and its memory, in rank order.
    ///
    /// Every rank of this group must call it.
    public func splitByHost() throws(CommunicationError) -> MPICommunicator {
        var group = cmpi_group()
        try check(cmpi_split_by_host(handle, Int32(rank), &group), "MPI_Comm_split_type")
        return try MPICommunicator(handle: group, owned: true, limits: limits)
    }

    /// This group through shared memory where its ranks run on one host, else as it is.
    ///
    /// Every rank must call it.
    package func fastest() throws(CommunicationError) -> any Communicator {
        guard size > 1, limits.sharesMemory, try splitByHost().size == size else { return self }
        return try SharedMemoryCommunicator(self)
    }

    private func ordinal(ofColor color: Int) throws(CommunicationError) -> Int32 {
        Int32(try gatherAll([color]).firstIndex(of: [color]) ?? 0)
    }

    private func ordinal(ofKey key: Int) throws(CommunicationError) -> Int32 {
        Int32(try gatherAll([key]).count { $0[0] < key })
    }

    // MARK: Steps of an operation

    /// Room for `byteCount` bytes, kept for the next operation; what it holds is undefined.
    func room(for byteCount: Int) -> UnsafeMutableRawPointer? {
        if scratch.count < max(1, byteCount) {
            scratch.deallocate()
            scratch = .allocate(byteCount: max(1, byteCount), alignment: 64)
        }
        return scratch.baseAddress
    }

    /// Reduces what lies at `term(r)` for each rank r; `output` may be one of these places.
    func combine(
        _ type: ReducedType, _ reduction: Reduction, into output: UnsafeMutableRawPointer, count: Int,
        _ term: (Int) -> UnsafeRawPointer
    ) {
        for other in 0..<size { terms[other] = term(other) }
        combineTerms(size, type, reduction, into: output, count: count)
    }

    /// Reduces what the first `termCount` of `terms` point to.
    func combineTerms(
        _ termCount: Int, _ type: ReducedType, _ reduction: Reduction, into output: UnsafeMutableRawPointer, count: Int
    ) {
        guard count > 0 else { return }
        cmpi_combine(
            cmpi_type(type), cmpi_operation(reduction), terms, Int32(termCount), output, count)
    }

    /// Starts a send; `bytes` must not change until `finishSends`.
    func post(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int32) throws(CommunicationError) {
        // Only an operation that threw leaves sends behind; without this the next one could overrun the list.
        if requestCount >= size { try finishSends() }
        try check(
            cmpi_isend(bytes.baseAddress, bytes.count, Int32(rank), tag, handle, requests + Int(requestCount)),
            "MPI_Isend")
        requestCount += 1
    }

    /// Waits for the next message of a rank (counted as waiting) and receives it (counted as transfer).
    ///
    /// A short one is received at once: it moves in less time than it takes to tell, and counts as waiting.
    func fetch(
        into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: Int32, _ operation: StaticString
    ) throws(CommunicationError) {
        if bytes.count <= limits.shortByteCount {
            var found = 0
            try check(
                cmpi_recv(bytes.baseAddress, bytes.count, Int32(rank), tag, handle, &found), "MPI_Recv")
            clock.addWait()
            guard found == bytes.count else {
                throw .byteCountMismatch(
                    operation: "\(operation)", rank: rank, expected: bytes.count, found: found)
            }
            return
        }
        clock.addTransfer()
        var message = cmpi_message()
        try check(cmpi_mprobe(Int32(rank), tag, handle, &message), "MPI_Mprobe")
        clock.addWait()
        guard message.byte_count == bytes.count else {
            throw .byteCountMismatch(
                operation: "\(operation)", rank: rank, expected: bytes.count, found: message.byte_count)
        }
        try check(cmpi_mrecv(bytes.baseAddress, bytes.count, &message), "MPI_Mrecv")
    }

    /// Sends, and returns when `bytes` may be written again; faster than a post for the last or only message.
    func sendNow(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int32) throws(CommunicationError) {
        try check(cmpi_send(bytes.baseAddress, bytes.count, Int32(rank), tag, handle), "MPI_Send")
    }

    /// Waits until everything that was posted may be written again.
    func finishSends() throws(CommunicationError) {
        guard requestCount > 0 else { return }
        let count = requestCount
        requestCount = 0
        try check(cmpi_wait(requests, count), "MPI_Wait")
    }

    /// Visits the pieces that one message may have; an empty buffer is one empty piece.
    func forEachPiece(
        of byteCount: Int, _ body: (Range<Int>) throws(CommunicationError) -> Void
    ) throws(CommunicationError) {
        var start = 0
        repeat {
            let end = min(byteCount, start + limits.messageByteCount)
            try body(start..<end)
            start = end
        } while start < byteCount
    }
}

/// The sizes at which an `MPICommunicator` changes its ways.
///
/// Tests choose small ones, to reach every path.
struct MPILimits {
    /// The longest message; MPI counts in 32-bit integers.
    var messageByteCount = Int(cmpi_message_limit())
    /// All-reduces up to this size send whole buffers; longer ones share out the additions (measured: see DocC).
    var wholeByteCount = 8 << 10
    /// Longer all-reduces are cut into parts of this size, so that scratch memory stays bounded and in cache.
    var reduceByteCount = 1 << 20
    /// Whether parts of the group may use shared memory.
    var sharesMemory = true
    /// Messages up to this size are not probed for; half a microsecond of the one that they take.
    var shortByteCount = 1 << 10
}

/// Tags of the collectives, above those that callers may use.
///
/// One for each operation is enough: messages between two ranks keep their order, and every rank calls the same
/// operations in the same order.
enum CollectiveTag {
    static let allReduce: Int32 = 16384
    static let allGather: Int32 = 16385
    static let gather: Int32 = 16386
    static let broadcast: Int32 = 16387
    static let reduceScatter: Int32 = 16388
}

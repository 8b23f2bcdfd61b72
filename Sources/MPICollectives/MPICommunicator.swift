import CCollectives
import CMPI
import Collectives

/// A group of MPI ranks whose operations are made of messages from rank to rank.
///
/// Only messages tell the wait for a partner from the movement of its bytes, and say who is missing when the time is
/// over. Inside a host a partner has come when a probe finds its message; a message from another host says when it was
/// sent (`HostTable`). A sender cannot know when its receiver arrives, so a `send` that must wait for it counts as
/// transfer.
public final class MPICommunicator: Communicator {
    /// This rank's number in the group, from 0.
    public let rank: Int
    /// How many ranks the group has.
    public let size: Int
    public var timeout: Duration?
    var limits: MPILimits
    let handle: cmpi_group
    /// The number in the job of each rank of the group.
    private(set) var worldRanks: [Int]
    private let ownsHandle: Bool
    private let requests: UnsafeMutablePointer<cmpi_request>
    private let receivers: UnsafeMutablePointer<Int>
    private var requestCount = 0
    /// The exchanges of a recursive halving so far, which are undone in reverse order.
    var halves: [(partner: Int, theirs: Range<Int>)] = []
    /// The operation that goes on, and the tag of its messages.
    private var operation = CollectiveOperation.barrier
    private var tag = CollectiveOperation.barrier.tag
    /// How far the clock of each rank on another host is ahead of this rank's, in nanoseconds; nil for ranks on this
    /// host.
    var clocks: [Int64?]
    /// Room for a stamped message of each request, and for one that is received.
    private var envelopes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
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
        clocks = Array(repeating: nil, count: Int(size))
        worldRanks = Array(0..<Int(size))
        requests = .allocate(capacity: max(1, Int(size)))
        receivers = .allocate(capacity: max(1, Int(size)))
        terms = .allocate(capacity: max(2, Int(size)))
    }

    deinit {
        requests.deallocate()
        receivers.deallocate()
        terms.deallocate()
        scratch.deallocate()
        envelopes.deallocate()
        // MPI frees the handle itself when it ends, and must not be called after that.
        if ownsHandle, cmpi_is_running() == 1 { _ = cmpi_free(handle) }
    }

    public var times: CommunicationTimes { clock.times }

    /// Begins an operation; its messages carry the operation's own tag, or the caller's.
    func begin(_ operation: CollectiveOperation, tag: MessageTag? = nil) {
        self.operation = operation
        self.tag = tag?.rawValue ?? operation.tag
        clock.start()
    }

    public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
        try splitMessages(color: color, key: key).fastest()
    }

    /// Splits like `split`, into a group that exchanges messages only.
    func splitMessages(color: Int, key: Int) throws(CommunicationError) -> MPICommunicator {
        // MPI accepts colors from 0 up in 32 bits, so the colors and keys of all ranks are replaced by their ordinals.
        let number = try ordinal(ofColor: color)
        let place = try ordinal(ofKey: key)
        var group = cmpi_group()
        try check(cmpi_split(handle, number, place, &group), "MPI_Comm_split")
        let part = try MPICommunicator(handle: group, owned: true, limits: limits)
        return try introduced(part)
    }

    /// Gives a new part of this group the numbers of its ranks in the job, and the table of hosts.
    private func introduced(_ part: MPICommunicator) throws(CommunicationError) -> MPICommunicator {
        part.timeout = timeout
        part.worldRanks = try part.gatherAll([worldRanks[rank]]).map { $0[0] }
        if let hosts = limits.hosts { part.adopt(hosts) }
        return part
    }

    /// Uses this table of hosts from now on.
    func adopt(_ hosts: HostTable) {
        limits.hosts = hosts
        clocks = hosts.clocks(of: worldRanks, seenFrom: worldRanks[rank])
    }

    /// Makes the numbers of this group, which is one of all ranks, their numbers in the job from now on.
    func numberAnew() {
        worldRanks = Array(0..<size)
    }

    /// Makes an error that names absent ranks by their numbers in the job, and their hosts if there are several.
    func timedOut(_ operation: CollectiveOperation, absent: [Int], after timeout: Duration?) -> CommunicationError {
        let ranks = absent.map { worldRanks[$0] }
        let hosts = limits.hosts.flatMap { $0.isOneHost ? nil : $0 }
        return .timedOut(
            operation: "\(operation)", absent: ranks, hosts: hosts.map { hosts in ranks.map { hosts.names[$0] } } ?? [],
            after: timeout ?? .zero)
    }

    /// Makes a group of the ranks that share this rank's host and its memory, in rank order, as MPI sees it.
    ///
    /// Every rank of this group must call it.
    func splitByHost() throws(CommunicationError) -> MPICommunicator {
        var group = cmpi_group()
        try check(cmpi_split_by_host(handle, Int32(rank), &group), "MPI_Comm_split_type")
        return try introduced(MPICommunicator(handle: group, owned: true, limits: limits))
    }

    /// Gives the fastest communicator of the same ranks: shared memory inside a host, and messages between hosts.
    ///
    /// Every rank must call it. If the ranks of hosts are not subtrees of the reduction tree, everything goes by
    /// messages.
    ///
    /// - Parameter wireType: the format in which sums of float32 travel: only between hosts, if hosts have several
    ///   ranks, and else between all ranks; nil keeps the format that the group has.
    func fastest(wireType: WireType? = nil) throws(CommunicationError) -> any Communicator {
        guard size > 1 else { return self }
        if let wireType { limits.wireType = wireType }
        guard limits.sharesMemory else { return limits.compressed(self) }
        guard let sizes = limits.hosts?.sizes(of: worldRanks), ReductionTree.nests(sizes), sizes.count < size else {
            return limits.compressed(self)
        }
        guard sizes.count > 1 else { return limits.compressed(try sharingMemory()) }
        return try HierarchicalCommunicator(self, sizes: sizes)
    }

    private func ordinal(ofColor color: Int) throws(CommunicationError) -> Int32 {
        Int32(try gatherAll([color]).firstIndex(of: [color]) ?? 0)
    }

    private func ordinal(ofKey key: Int) throws(CommunicationError) -> Int32 {
        Int32(try gatherAll([key]).count { $0[0] < key })
    }

    // MARK: Steps of an operation

    /// Gives scratch memory of `byteCount` bytes, which later calls give again; its contents are undefined.
    func room(for byteCount: Int) -> UnsafeMutableRawPointer? {
        if scratch.count < max(1, byteCount) {
            scratch.deallocate()
            scratch = .allocate(byteCount: max(1, byteCount), alignment: 64)
        }
        return scratch.baseAddress
    }

    /// Reduces the elements at `term(r)` of every rank r into `output`, which may be one of these places.
    func combine(
        _ type: ReducedType, _ reduction: Reduction, into output: UnsafeMutableRawPointer, count: Int,
        _ term: (Int) -> UnsafeRawPointer
    ) {
        for other in 0..<size { terms[other] = term(other) }
        combineTerms(size, type, reduction, into: output, count: count)
    }

    /// Reduces the elements that the first `termCount` pointers in `terms` point to.
    func combineTerms(
        _ termCount: Int, _ type: ReducedType, _ reduction: Reduction, into output: UnsafeMutableRawPointer, count: Int
    ) {
        guard count > 0 else { return }
        cc_combine(
            cc_type(type), cc_reduction(reduction), terms, Int32(termCount), output, count)
    }

    /// Starts a send; `bytes` must not change until `finishSends`.
    func post(_ bytes: UnsafeRawBufferPointer, to rank: Int) throws(CommunicationError) {
        // An operation that threw may have left sends behind; without this the next one could overrun the list.
        if requestCount >= size { try finishSends() }
        let message = try stamped(bytes, to: rank, slot: requestCount)
        try check(
            cmpi_isend(message.baseAddress, message.count, Int32(rank), tag, handle, requests + requestCount),
            "MPI_Isend")
        receivers[requestCount] = rank
        requestCount += 1
    }

    /// Gives the message that carries `bytes`.
    ///
    /// To another host it carries the time as well: in front of the bytes or, if they are many, in a message sent
    /// before.
    private func stamped(
        _ bytes: UnsafeRawBufferPointer, to rank: Int, slot: Int
    ) throws(CommunicationError) -> UnsafeRawBufferPointer {
        guard clocks[rank] != nil else { return bytes }
        var now = OperationClock.now()
        guard let envelope = envelope(slot, for: bytes.count) else {
            try check(
                withUnsafeBytes(of: &now) { cmpi_send_short($0.baseAddress, $0.count, Int32(rank), tag, handle) },
                "MPI_Send")
            return bytes
        }
        envelope.storeBytes(of: now, as: Int64.self)
        UnsafeMutableRawBufferPointer(rebasing: envelope[MPILimits.stampByteCount...]).copyMemory(from: bytes)
        return UnsafeRawBufferPointer(envelope)
    }

    /// Gives room for a stamp and `byteCount` bytes; nil if the bytes are too many to be copied.
    private func envelope(_ slot: Int, for byteCount: Int) -> UnsafeMutableRawBufferPointer? {
        guard byteCount <= limits.envelopeByteCount else { return nil }
        let room = (MPILimits.stampByteCount + limits.envelopeByteCount + 63) / 64 * 64
        if envelopes.isEmpty { envelopes = .allocate(byteCount: room * (size + 1), alignment: 64) }
        let start = slot * room
        return UnsafeMutableRawBufferPointer(
            rebasing: envelopes[start..<start + MPILimits.stampByteCount + byteCount])
    }

    /// Waits for the next message of a rank, which counts as waiting, and receives it, which counts as transfer.
    ///
    /// A short message is received without a probe, and all of its time counts as waiting: it moves in less time than a
    /// probe takes.
    func fetch(into bytes: UnsafeMutableRawBufferPointer, from rank: Int) throws(CommunicationError) {
        let limit = UInt64(timeout?.nanoseconds ?? 0)
        if let ahead = clocks[rank] { return try fetchStamped(into: bytes, from: rank, ahead: ahead, limit) }
        if bytes.count <= limits.shortByteCount {
            var found = 0
            try arrived(
                cmpi_recv(bytes.baseAddress, bytes.count, Int32(rank), tag, handle, limit, &found), rank, "MPI_Irecv")
            clock.addWait()
            return try requireLength(found, bytes.count, from: rank)
        }
        clock.addTransfer()
        var message = cmpi_message()
        try arrived(cmpi_mprobe(Int32(rank), tag, handle, limit, &message), rank, "MPI_Improbe")
        clock.addWait()
        try requireLength(message.byte_count, bytes.count, from: rank)
        try arrived(cmpi_mrecv(bytes.baseAddress, bytes.count, &message, limit), rank, "MPI_Imrecv")
    }

    /// Receives a message from another host: this rank waited until it was sent, and from then on bytes moved.
    private func fetchStamped(
        into bytes: UnsafeMutableRawBufferPointer, from rank: Int, ahead: Int64, _ limit: UInt64
    ) throws(CommunicationError) {
        var found = 0
        guard let envelope = envelope(size, for: bytes.count) else {
            var sent: Int64 = 0
            let code = withUnsafeMutableBytes(of: &sent) {
                cmpi_recv($0.baseAddress, $0.count, Int32(rank), tag, handle, limit, &found)
            }
            try arrived(code, rank, "MPI_Irecv")
            clock.addWait(until: sent &- ahead)
            try arrived(
                cmpi_recv(bytes.baseAddress, bytes.count, Int32(rank), tag, handle, limit, &found), rank, "MPI_Irecv")
            clock.addTransfer()
            return try requireLength(found, bytes.count, from: rank)
        }
        try arrived(
            cmpi_recv(envelope.baseAddress, envelope.count, Int32(rank), tag, handle, limit, &found), rank, "MPI_Irecv")
        try requireLength(found - MPILimits.stampByteCount, bytes.count, from: rank)
        clock.addWait(until: envelope.load(as: Int64.self) &- ahead)
        bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: envelope[MPILimits.stampByteCount...]))
    }

    private func requireLength(_ found: Int, _ expected: Int, from rank: Int) throws(CommunicationError) {
        guard found == expected else {
            throw .byteCountMismatch(operation: "\(operation)", rank: rank, expected: expected, found: found)
        }
    }

    /// Sends, and returns when `bytes` may be written again; for a short message it is faster than `post`.
    func sendNow(_ bytes: UnsafeRawBufferPointer, to rank: Int) throws(CommunicationError) {
        guard bytes.count > limits.shortByteCount else {
            let message = try stamped(bytes, to: rank, slot: requestCount)
            return try check(
                cmpi_send_short(message.baseAddress, message.count, Int32(rank), tag, handle), "MPI_Send")
        }
        try post(bytes, to: rank)
        try finishSends()
    }

    /// Waits until the memory of everything that was posted may be written again.
    func finishSends() throws(CommunicationError) {
        while requestCount > 0 {
            requestCount -= 1
            try arrived(
                cmpi_wait(requests + requestCount, UInt64(timeout?.nanoseconds ?? 0)), receivers[requestCount],
                "MPI_Isend")
        }
    }

    /// Turns a result of CMPI into an error; after a timeout, into one that names the ranks that have not come.
    private func arrived(
        _ code: Int32, _ partner: Int, _ function: @autoclosure () -> String
    ) throws(CommunicationError) {
        guard code == CMPI_TIMED_OUT else { return try check(code, function()) }
        let others = (0..<size).filter { $0 != rank }
        let present = UnsafeMutablePointer<Bool>.allocate(capacity: others.count)
        defer { present.deallocate() }
        try check(
            cmpi_roll_call(handle, others.map(Int32.init), Int32(others.count), 500_000_000, present), "MPI_Iprobe")
        let absent = others.indices.filter { !present[$0] }.map { others[$0] }
        // A rank that has done its part of the operation does not answer either.
        let isPartnerAlone = absent.isEmpty || absent.contains(partner) && !operation.needsEveryRank
        throw timedOut(operation, absent: isPartnerAlone ? [partner] : absent, after: timeout)
    }

    /// Calls `body` for each piece that fits into one message; an empty buffer is one empty piece.
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

/// Settings of an `MPICommunicator`, which its parts inherit.
///
/// Tests choose small sizes, to reach every path.
struct MPILimits {
    /// The longest message in bytes.
    ///
    /// A message must arrive within the timeout, and MPI counts in 32-bit integers.
    var messageByteCount = min(16 << 20, Int(cmpi_message_limit()))
    /// The size in bytes into which longer all-reduces are cut, so that scratch memory stays bounded and in the cache.
    var reduceByteCount = 1 << 20
    /// The longest message in bytes that is not probed for: a probe takes half of the microsecond that such a message
    /// takes.
    var shortByteCount = 1 << 10
    /// The longest message in bytes to another host that is copied behind its stamp.
    var envelopeByteCount = 64 << 10
    /// The bytes of a stamp, which is the time of sending.
    static let stampByteCount = 8
    /// Which host each rank of the job runs on; nil until that has been learned.
    var hosts: HostTable?
    /// The sizes at which algorithms change.
    var tuning = AllReduceTuning()
    /// Whether parts of the group may use shared memory.
    var sharesMemory = true
    /// Gives the bytes that are free for shared memory.
    var windowRoom: @Sendable () -> Int = MPILimits.freeSharedMemory
    /// The format in which sums of float32 travel.
    var wireType = WireType.float32

    /// Gives a communicator of the same ranks whose sums travel in the format `wireType`.
    func compressed(_ group: any Communicator) -> any Communicator {
        wireType == .float32 ? group : CompressedCommunicator(group, type: wireType)
    }
}

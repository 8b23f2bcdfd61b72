import CCollectives
import CMPI
import CProcess
import Collectives
import Glibc
import Synchronization

/// A group of MPI ranks on one host, whose collectives go through memory that all of them share.
///
/// Messages from rank to rank still travel through MPI. `window.c` describes the protocol in the shared memory.
public final class SharedMemoryCommunicator: WrappedCommunicator {
    /// How a group's memory is used.
    public struct Options: Sendable {
        /// The bytes of a rank that the others can read at a time, a multiple of 4096.
        ///
        /// Longer buffers are exchanged in several turns.
        public var slotByteCount = 128 << 10
        /// How often a rank looks for the others before it gives way to other threads.
        ///
        /// If it is nil, the number depends on the number of processors.
        public var spins: Int?

        /// Makes the default options.
        public init() {}
    }

    private let messages: MPICommunicator
    public var inner: any Communicator { messages }
    private let window: OpaquePointer
    private let options: Options
    private var clock = OperationClock()

    /// Makes the shared memory; every rank of `messages` must call it, and all must run on one host.
    ///
    /// - Throws: `CommunicationError.library` if the host has no room for it.
    public init(_ messages: MPICommunicator, options: Options = Options()) throws(CommunicationError) {
        self.messages = messages
        self.options = options
        var memory: UnsafeMutableRawPointer?
        let byteCount = cc_window_bytes(options.slotByteCount)
        try check(
            cmpi_share(messages.handle, byteCount, &memory),
            "MPI_Win_allocate_shared of \((byteCount * messages.size) >> 10) KiB, for which the host's /dev/shm must have "
                + "room (in a container: --shm-size),")
        guard let memory,
            let window = cc_window_open(
                memory, Int32(messages.rank), Int32(messages.size), options.slotByteCount, Int32(options.spins ?? -1))
        else {
            throw .library(operation: "opening shared memory", code: Int(ENOMEM), text: "no memory")
        }
        self.window = window
        wholeByteCount = messages.limits.tuning.sharedWholeByteCount
        cc_window_set_whole_bytes(window, wholeByteCount)
        cc_window_set_idle(window, cmpi_answer_roll_calls)
        cc_window_set_timeout(window, UInt64(messages.timeout?.nanoseconds ?? 0))
    }

    deinit {
        cc_window_close(window)
    }

    public var timeout: Duration? {
        get { messages.timeout }
        set {
            messages.timeout = newValue
            cc_window_set_timeout(window, UInt64(newValue?.nanoseconds ?? 0))
        }
    }

    /// The longest all-reduce in bytes that every rank adds up whole; the same on every rank.
    var wholeByteCount: Int = 0 {
        didSet { cc_window_set_whole_bytes(window, wholeByteCount) }
    }

    public var times: CommunicationTimes {
        let moved = cc_window_take_times(window)
        clock.add(wait: Int64(moved.wait), transfer: Int64(moved.transfer))
        return clock.times + messages.times
    }

    public func place(ofByteCount byteCount: Int) throws(CommunicationError) -> UnsafeMutableRawPointer? {
        var status = CC_WINDOW_DONE
        let place = cc_window_place(window, byteCount, &status)
        try require(status, .allReduce)
        return place
    }

    public func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: output.count, type, .allReduce)
        try require(
            cc_window_all_reduce(
                window, cc_type(type), cc_reduction(reduction), input.baseAddress, output.baseAddress,
                input.count / type.byteCount),
            .allReduce)
        clock.count(byteCount: input.count)
    }

    public func reduceScatter(
        _ input: UnsafeRawBufferPointer, into share: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: share.count, shares: size, type, .reduceScatter)
        try require(
            cc_window_reduce_scatter(
                window, cc_type(type), cc_reduction(reduction), input.baseAddress, share.baseAddress,
                share.count / type.byteCount),
            .reduceScatter)
        clock.count(byteCount: input.count)
    }

    public func allGather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try requireBytes(all.count, mine.count * size, .allGather)
        try require(cc_window_all_gather(window, mine.baseAddress, all.baseAddress, mine.count), .allGather)
        clock.count(byteCount: mine.count)
    }

    public func allToAll(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try requireShares(input: input.count, output: output.count)
        try require(
            cc_window_all_to_all(window, input.baseAddress, output.baseAddress, input.count / size), .allToAll)
        clock.count(byteCount: input.count)
    }

    public func gather(
        _ mine: UnsafeRawBufferPointer, byteCounts: [Int], into all: UnsafeMutableRawBufferPointer, to root: Int
    ) throws(CommunicationError) {
        try requireGather(mine: mine.count, byteCounts: byteCounts, all: all.count, root: root)
        try require(
            cc_window_gather(window, mine.baseAddress, byteCounts, all.baseAddress, Int32(root)), .gather)
        clock.count(byteCount: mine.count)
    }

    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError) {
        try requireMember(root, .broadcast)
        try require(cc_window_broadcast(window, bytes.baseAddress, bytes.count, Int32(root)), .broadcast)
        clock.count(byteCount: bytes.count)
    }

    public func barrier() throws(CommunicationError) {
        try require(cc_window_barrier(window), .barrier)
        clock.count(byteCount: 0)
    }

    public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
        let part = try messages.splitMessages(color: color, key: key)
        guard part.size > 1 else { return part }
        return messages.limits.compressed(try part.sharingMemory(options))
    }

    /// Turns the status of a call of the window into an error.
    private func require(_ status: cc_window_status, _ operation: CollectiveOperation) throws(CommunicationError) {
        switch status {
        case CC_WINDOW_DONE:
            return
        case CC_WINDOW_MISMATCH:
            let wanted = (0..<size).map { rank in
                let wish = cc_window_requested(window, Int32(rank))
                return CollectiveWish(
                    operation: wish.call, byteCount: Int(wish.byte_count), root: Int(wish.root), type: wish.type,
                    reduction: wish.reduction)
            }
            throw .differingRequests(sequence: clock.times.operationCount + 1, wanted: wanted.map(\.description))
        default:
            let absent = (0..<size).filter { cc_window_is_absent(window, Int32($0)) }
            throw messages.timedOut(operation, absent: absent, after: timeout)
        }
    }
}

extension MPICommunicator {
    /// Gives a communicator of the same ranks, all on one host, that uses shared memory.
    ///
    /// If the host has no room for it, it warns and gives this group itself. Every rank must call it, and gets the same
    /// kind.
    func sharingMemory(
        _ options: SharedMemoryCommunicator.Options = SharedMemoryCommunicator.Options()
    ) throws(CommunicationError) -> any Communicator {
        // Rank 0 allocates the memory, with a page more to align it.
        let needed = cc_window_bytes(options.slotByteCount) * size + 4096
        let room = limits.windowRoom()
        guard try gatherAll([room < needed])[0][0] else {
            return try SharedMemoryCommunicator(self, options: options)
        }
        // Groups that are split from this one must not try again.
        limits.sharesMemory = false
        if rank == 0, !MPILimits.hasWarnedOfRoom.exchange(true, ordering: .relaxed) {
            cprocess_say(
                "warning: /dev/shm of \(hostName()) has \(room >> 10) KiB free and \(needed >> 10) KiB are needed: its ranks "
                    + "exchange messages, which is slower (in a container: --shm-size)")
        }
        return self
    }
}

extension MPILimits {
    fileprivate static let hasWarnedOfRoom = Atomic<Bool>(false)

    /// Gives the free bytes of /dev/shm, where the MPI library makes shared windows.
    ///
    /// If they cannot be read, it gives the largest number, and the library reports what fails.
    static func freeSharedMemory() -> Int {
        var status = statvfs()
        guard statvfs("/dev/shm", &status) == 0 else { return .max }
        return Int(clamping: UInt64(status.f_bavail) &* UInt64(status.f_frsize))
    }
}

extension cc_type {
    init(_ type: ReducedType) { self.init(UInt32(type.rawValue)) }
}

extension cc_reduction {
    init(_ reduction: Reduction) { self.init(UInt32(reduction.rawValue)) }
}

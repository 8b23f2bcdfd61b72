import CCollectives
import CMPI
import CProcess
import Collectives
import Glibc
import Synchronization

/// A group of MPI ranks on one host, whose collectives go through memory that all of them see.
///
/// Messages from rank to rank still travel through MPI. See `window.c` for how the ranks keep out of each other's way.
public final class SharedMemoryCommunicator: WrappedCommunicator {
    /// How a group's memory is used.
    public struct Options: Sendable {
        /// Bytes of a rank that the others can read at a time, a multiple of 4096; longer buffers go in turns.
        public var slotByteCount = 128 << 10
        /// How often to look for the others before giving way to other threads; nil: by the number of processors.
        public var spins: Int?

        /// The defaults.
        public init() {}
    }

    private let messages: MPICommunicator
    public var inner: any Communicator { messages }
    private let window: OpaquePointer
    private let options: Options
    private var clock = OperationClock()

    /// Every rank of `messages` must call it, and all of them must run on one host.
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

    /// All-reduces up to this size are added up whole by every rank; the same on every rank.
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

    /// Turns what a call of the window ended with into an error.
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
    /// This group, all on one host, by shared memory; by messages, with a warning, where the host has no room for it.
    ///
    /// Every rank must call it, and gets the same kind.
    func sharingMemory(
        _ options: SharedMemoryCommunicator.Options = SharedMemoryCommunicator.Options()
    ) throws(CommunicationError) -> any Communicator {
        // Rank 0 makes it; a page more, to align it.
        let needed = cc_window_bytes(options.slotByteCount) * size + 4096
        let room = limits.windowRoom()
        guard try gatherAll([room < needed])[0][0] else {
            return try SharedMemoryCommunicator(self, options: options)
        }
        // For its parts too.
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

    /// Free bytes where the MPI library makes shared windows; as many as can be where that cannot be told.
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

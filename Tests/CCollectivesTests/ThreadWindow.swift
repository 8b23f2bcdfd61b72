import CCollectives
import Collectives
import TestSupport

/// Ranks that are threads, over a window in this process's own memory; messages and splits are the threads'.
final class ThreadWindow: WrappedCommunicator {
    let inner: any Communicator
    let window: OpaquePointer

    private init(_ inner: any Communicator, window: OpaquePointer) {
        self.inner = inner
        self.window = window
    }

    deinit {
        cc_window_close(window)
    }

    /// Runs `body` on each of `count` ranks.
    ///
    /// - Parameters:
    ///   - slotByteCount: bytes of a rank that the others can read at a time.
    ///   - spins: how often a rank looks for the others before it gives way; negative: as `cc_window_open` chooses.
    static func withRanks<Result: Sendable>(
        _ count: Int, slotByteCount: Int = 4096, spins: Int32 = -1,
        _ body: @Sendable (ThreadWindow) throws -> Result
    ) throws -> [Result] {
        let byteCount = cc_window_bytes(slotByteCount) * count
        nonisolated(unsafe) let memory = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        return try Collectives.withRanks(count) { group in
            guard let window = cc_window_open(memory, Int32(group.rank), Int32(count), slotByteCount, spins) else {
                throw CommunicationError.library(operation: "cc_window_open", code: 0, text: "no memory")
            }
            let result = try body(ThreadWindow(group, window: window))
            // No rank may leave while another still reads what it has shown.
            try group.barrier()
            return result
        }
    }

    private func require(_ status: cc_window_status) throws(CommunicationError) {
        guard status == CC_WINDOW_DONE else {
            throw .library(operation: "the window", code: Int(status.rawValue), text: "not done")
        }
    }

    private func type(_ type: ReducedType) -> cc_type { cc_type(UInt32(type.rawValue)) }

    private func reduction(_ reduction: Reduction) -> cc_reduction { cc_reduction(UInt32(reduction.rawValue)) }

    func place(ofByteCount byteCount: Int) throws(CommunicationError) -> UnsafeMutableRawPointer? {
        var status = CC_WINDOW_DONE
        let place = cc_window_place(window, byteCount, &status)
        try require(status)
        return place
    }

    func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try require(
            cc_window_all_reduce(
                window, self.type(type), self.reduction(reduction), input.baseAddress, output.baseAddress,
                input.count / type.byteCount))
    }

    func reduceScatter(
        _ input: UnsafeRawBufferPointer, into share: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try require(
            cc_window_reduce_scatter(
                window, self.type(type), self.reduction(reduction), input.baseAddress, share.baseAddress,
                share.count / type.byteCount))
    }

    func allGather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try require(cc_window_all_gather(window, mine.baseAddress, all.baseAddress, mine.count))
    }

    func allToAll(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try require(cc_window_all_to_all(window, input.baseAddress, output.baseAddress, input.count / size))
    }

    func gather(
        _ mine: UnsafeRawBufferPointer, byteCounts: [Int], into all: UnsafeMutableRawBufferPointer, to root: Int
    ) throws(CommunicationError) {
        try require(cc_window_gather(window, mine.baseAddress, byteCounts, all.baseAddress, Int32(root)))
    }

    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError) {
        try require(cc_window_broadcast(window, bytes.baseAddress, bytes.count, Int32(root)))
    }

    func barrier() throws(CommunicationError) {
        try require(cc_window_barrier(window))
    }
}

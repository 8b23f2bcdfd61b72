import CMPI
import Collectives

/// The MPI library's own collectives, to measure ours against.
///
/// They promise no order of addition, so that nothing but a
/// benchmark may use them; messages and what MPI has no name for are ours.
public final class LibraryCommunicator: Communicator {
    private let messages: MPICommunicator
    private var clock = OperationClock()

    init(_ messages: MPICommunicator) {
        self.messages = messages
    }

    public var rank: Int { messages.rank }

    public var size: Int { messages.size }

    public var times: CommunicationTimes { clock.times + messages.times }

    /// `MPI_Allreduce`; of float32 and int8 only, which have names in MPI 3.
    public func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: output.count, type, "MPI_Allreduce")
        try timed(input.count) {
            cmpi_library_all_reduce(
                input.baseAddress, output.baseAddress, output.count / type.byteCount, cmpi_type(type),
                cmpi_operation(reduction), messages.handle)
        }
    }

    /// `MPI_Reduce_scatter_block`.
    public func reduceScatter(
        _ input: UnsafeRawBufferPointer, into share: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: share.count, shares: size, type, "MPI_Reduce_scatter_block")
        try timed(input.count) {
            cmpi_library_reduce_scatter(
                input.baseAddress, share.baseAddress, share.count / type.byteCount, cmpi_type(type),
                cmpi_operation(reduction), messages.handle)
        }
    }

    /// `MPI_Allgather`.
    public func allGather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try requireBytes(all.count, mine.count * size, "MPI_Allgather")
        try timed(mine.count) {
            cmpi_library_all_gather(mine.baseAddress, all.baseAddress, mine.count, messages.handle)
        }
    }

    public func gather(
        _ mine: UnsafeRawBufferPointer, byteCounts: [Int], into all: UnsafeMutableRawBufferPointer, to root: Int
    ) throws(CommunicationError) {
        try messages.gather(mine, byteCounts: byteCounts, into: all, to: root)
    }

    /// `MPI_Bcast`.
    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError) {
        try requireMember(root, "MPI_Bcast")
        try timed(bytes.count) {
            cmpi_library_broadcast(bytes.baseAddress, bytes.count, Int32(root), messages.handle)
        }
    }

    public func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: MessageTag) throws(CommunicationError) {
        try messages.send(bytes, to: rank, tag: tag)
    }

    public func receive(
        into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: MessageTag
    ) throws(CommunicationError) {
        try messages.receive(into: bytes, from: rank, tag: tag)
    }

    public func barrier() throws(CommunicationError) {
        try messages.barrier()
    }

    public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
        LibraryCommunicator(try messages.splitMessages(color: color, key: key))
    }

    private func timed(_ byteCount: Int, _ call: () -> Int32) throws(CommunicationError) {
        clock.start()
        try check(call(), "an operation of the MPI library")
        clock.finish(byteCount: byteCount)
    }
}

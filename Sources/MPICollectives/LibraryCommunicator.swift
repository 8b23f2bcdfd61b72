import CCollectives
import CMPI
import Collectives

/// A communicator that uses the MPI library's own collectives, for comparison with ours.
///
/// They promise no order of addition and have no timeout, so that only a benchmark may use them. Messages, and
/// operations that MPI has no name for, are ours.
public final class LibraryCommunicator: WrappedCommunicator {
    private let messages: MPICommunicator
    public var inner: any Communicator { messages }
    private var clock = OperationClock()

    init(_ messages: MPICommunicator) {
        self.messages = messages
    }

    public var times: CommunicationTimes { clock.times + messages.times }

    /// Calls `MPI_Allreduce`, for float32 and int8 only: 16-bit floats have no name in MPI 3.
    public func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: output.count, type, .allReduce)
        try counted(input.count) {
            cmpi_library_all_reduce(
                input.baseAddress, output.baseAddress, output.count / type.byteCount, cc_type(type),
                cc_reduction(reduction), messages.handle)
        }
    }

    /// Calls `MPI_Reduce_scatter_block`.
    public func reduceScatter(
        _ input: UnsafeRawBufferPointer, into share: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: share.count, shares: size, type, .reduceScatter)
        try counted(input.count) {
            cmpi_library_reduce_scatter(
                input.baseAddress, share.baseAddress, share.count / type.byteCount, cc_type(type),
                cc_reduction(reduction), messages.handle)
        }
    }

    /// Calls `MPI_Allgather`.
    public func allGather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try requireBytes(all.count, mine.count * size, .allGather)
        try counted(mine.count) {
            cmpi_library_all_gather(mine.baseAddress, all.baseAddress, mine.count, messages.handle)
        }
    }

    /// Calls `MPI_Bcast`.
    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError) {
        try requireMember(root, .broadcast)
        try counted(bytes.count) {
            cmpi_library_broadcast(bytes.baseAddress, bytes.count, Int32(root), messages.handle)
        }
    }

    /// Calls `MPI_Barrier`.
    public func barrier() throws(CommunicationError) {
        try counted(0) { cmpi_library_barrier(messages.handle) }
    }

    public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
        LibraryCommunicator(try messages.splitMessages(color: color, key: key))
    }

    /// Counts a call without its time.
    ///
    /// Reading the clock would take a tenth of a short call, and MPI does not tell waiting from moving.
    private func counted(_ byteCount: Int, _ call: () -> Int32) throws(CommunicationError) {
        try check(call(), "an operation of the MPI library")
        clock.count(byteCount: byteCount)
    }
}

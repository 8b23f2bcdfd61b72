import CMPI
import Collectives

/// The MPI library's own operations, to measure ours against. They promise no order of addition, so that nothing but
/// a benchmark may use them.
extension MPICommunicator {
    /// `MPI_Allreduce`, in place.
    public func libraryAllReduce(_ buffer: UnsafeMutableBufferPointer<Float>) throws(CommunicationError) {
        guard let base = buffer.baseAddress else { return }
        try check(cmpi_library_all_reduce(base, buffer.count, handle), "MPI_Allreduce")
    }

    /// `MPI_Bcast`.
    public func libraryBroadcast(
        _ bytes: UnsafeMutableRawBufferPointer, from root: Int
    ) throws(CommunicationError) {
        try requireMember(root, "broadcast")
        guard let base = bytes.baseAddress else { return }
        try check(cmpi_library_broadcast(base, bytes.count, Int32(root), handle), "MPI_Bcast")
    }
}

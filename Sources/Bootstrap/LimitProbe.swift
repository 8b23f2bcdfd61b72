import Architectures
import Collectives
import Kernels
import Tensors

/// Measures the limits of the hardware, on all ranks at once because the ranks of a host share the bandwidth of its
/// memory.
///
/// It allocates memory at the first measurement.
final class LimitProbe {
    private let kernels: KernelTable
    private let pool: WorkerPool
    private let format: ComputeFormat
    private let world: any Communicator
    private var limits: HardwareLimits?
    /// The result of the last measurement: the bytes that all ranks together read per second, and the operations in the
    /// layers' format that they do per second.
    private(set) var sums = [0.0, 0.0]

    init(kernels: KernelTable, pool: WorkerPool, formats: [ParameterName: ComputeFormat], world: any Communicator) {
        self.kernels = kernels
        self.pool = pool
        self.world = world
        format = formats[.down(layer: 0)] ?? .float32
    }

    /// Measures the limits; every rank must call it.
    func measure() throws {
        try world.barrier()
        limits = limits ?? (try? HardwareLimits(table: kernels, pool: pool, byteCount: pool.count << 29))
        let mine: [Double] = limits.map { [$0.readBytesPerSecond(), $0.operationsPerSecond(format)] } ?? [0, 0]
        let all = try world.gatherAll(mine)
        sums = mine.indices.map { index in all.reduce(0) { $0 + $1[index] } }
    }
}

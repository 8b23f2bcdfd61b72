import Architectures
import Collectives
import Kernels
import Tensors

/// Measures what the ranks' hardware can do, all ranks at once because they share the memory's bandwidth.
///
/// It takes memory only when it is first asked.
final class LimitProbe {
    private let kernels: KernelTable
    private let pool: WorkerPool
    private let format: ComputeFormat
    private let world: any Communicator
    private var limits: HardwareLimits?
    /// The last measurement: bytes read, and operations of the layers' format, per second and summed over the ranks.
    private(set) var sums = [0.0, 0.0]

    init(kernels: KernelTable, pool: WorkerPool, formats: [ParameterName: ComputeFormat], world: any Communicator) {
        self.kernels = kernels
        self.pool = pool
        self.world = world
        format = formats[.down(layer: 0)] ?? .float32
    }

    /// Measures; every rank must call it.
    func measure() throws {
        try world.barrier()
        limits = limits ?? (try? HardwareLimits(table: kernels, pool: pool, byteCount: pool.count << 29))
        let mine: [Double] = limits.map { [$0.readBytesPerSecond(), $0.operationsPerSecond(format)] } ?? [0, 0]
        let all = try world.gatherAll(mine)
        sums = mine.indices.map { index in all.reduce(0) { $0 + $1[index] } }
    }
}

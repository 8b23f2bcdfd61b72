import Architectures
import Kernels
import Tensors

/// Measures what a rank's hardware can do, for `bench`; takes memory only when it is first asked.
final class LimitProbe {
    private let kernels: KernelTable
    private let pool: WorkerPool
    private let format: ComputeFormat
    private var limits: HardwareLimits?

    init(kernels: KernelTable, pool: WorkerPool, formats: [ParameterName: ComputeFormat]) {
        self.kernels = kernels
        self.pool = pool
        format = formats[.down(layer: 0)] ?? .float32
    }

    /// Bytes read and operations of the layers' format per second.
    func measure() -> [Double] {
        limits = limits ?? (try? HardwareLimits(table: kernels, pool: pool, byteCount: pool.count << 29))
        guard let limits else { return [0, 0] }
        return [limits.readBytesPerSecond(), limits.operationsPerSecond(format)]
    }
}

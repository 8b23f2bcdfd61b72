import CKernels
import Tensors

/// The limits of this rank's processors, measured with the instructions that the kernels use.
///
/// Decoding reads every weight once for each token, so its limit is `readBytesPerSecond`. A prompt needs much
/// arithmetic for each weight, so its limit is `operationsPerSecond`. Machines are shared and noisy, so limits should
/// be measured at the same time as the speed that is compared with them.
public final class HardwareLimits {
    private let kernels: ck_kernels
    private let pool: WorkerPool
    private let memory: AlignedBuffer
    private let sinks: UnsafeMutablePointer<Float>
    private let operations: UnsafeMutablePointer<Double>

    /// - Parameters:
    ///   - byteCount: the bytes of memory that are read, many times the size of the caches.
    ///   - hugePages: whether the memory asks for pages of 2 MiB, as packed weights do.
    public init(
        table: KernelTable, pool: WorkerPool, byteCount: Int = 1 << 30, hugePages: Bool = true
    ) throws(MemoryError) {
        kernels = table.functions.pointee
        self.pool = pool
        memory = try AlignedBuffer(byteCount: byteCount, hugePages: hugePages)
        sinks = .allocate(capacity: pool.count)
        operations = .allocate(capacity: pool.count)
        // Each worker touches the memory that it will read.
        let pages = byteCount / 4096
        let base = memory.baseAddress
        pool.forEachWorker { index, count in
            for page in pages * index / count..<pages * (index + 1) / count {
                base.storeBytes(of: UInt64(page), toByteOffset: page * 4096, as: UInt64.self)
            }
        }
    }

    deinit {
        sinks.deallocate()
        operations.deallocate()
    }

    /// Measures the bytes per second at which all workers together read the memory.
    public func readBytesPerSecond() -> Double {
        var arguments = ck_read(data: memory.baseAddress, bytes: Int64(memory.byteCount), sinks: sinks)
        let start = ContinuousClock.now
        withUnsafePointer(to: &arguments) { pool.run(kernels.read, UnsafeRawPointer($0)) }
        return Double(memory.byteCount) / seconds(since: start)
    }

    /// Measures the multiplications and additions per second of all workers in a format's products.
    ///
    /// It takes 0.2 s: over a shorter time, workers that start late count for too much. Virtual processors may share cores
    /// in one second and not in the next, which doubles the result (46,800 and 83,000 Gop/s were seen with 16 threads on one
    /// machine). So compare it only with what is measured just before or after. A multiply-add counts as two operations.
    public func operationsPerSecond(_ format: ComputeFormat) -> Double {
        func run(rounds: Int64) -> (operations: Double, seconds: Double) {
            var arguments = ck_peak(
                format: format.kernelFormat, rounds: rounds, operations: operations, sinks: sinks)
            let start = ContinuousClock.now
            withUnsafePointer(to: &arguments) { pool.run(kernels.peak, UnsafeRawPointer($0)) }
            let duration = seconds(since: start)
            return ((0..<pool.count).reduce(0) { $0 + operations[$1] }, duration)
        }
        let trial: Int64 = 200_001
        let wanted = 0.2 / max(run(rounds: trial).seconds, 1e-6)
        let measured = run(rounds: Int64(Double(trial) * max(1, wanted)) | 1)
        return measured.operations / measured.seconds
    }

    private func seconds(since start: ContinuousClock.Instant) -> Double {
        let duration = ContinuousClock.now - start
        return Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    }
}

import CKernels
import Glibc
import Synchronization

/// The threads that run shares of kernels, and nothing else, for as long as the pool lives.
///
/// The caller is worker 0. Idle workers spin briefly, so that the next kernel of a step starts at once, and then sleep
/// until they are woken. `run` allocates nothing.
public final class WorkerPool: @unchecked Sendable {
    // It is Sendable because only one thread at a time (the rank's thread) calls `run`, and workers see the job through
    // `generation`.

    /// The number of pauses, which take some microseconds, before a waiting worker gives way to others that need its
    /// processor.
    private static let crowdedPauses = 100

    /// The number of workers, including the caller.
    public let count: Int
    /// Whether there are more workers than processors, so that one that waits must let another run.
    private let isCrowded: Bool

    private var job: ck_kernel?
    private var arguments: UnsafeRawPointer?
    private let generation = Atomic<UInt32>(0)
    private let remaining = Atomic<Int>(0)
    private let sleepers = Atomic<Int>(0)
    private let isStopping = Atomic<Bool>(false)
    private var threads: [pthread_t] = []
    private var mutex = pthread_mutex_t()
    private var wakeUp = pthread_cond_t()

    /// Starts `count - 1` threads, and binds worker i to the i-th of `processors` if they are given.
    ///
    /// The calling thread is bound to the first processor after all threads have been made, because a thread inherits
    /// the binding of the thread that makes it.
    ///
    /// - Parameter isCrowded: whether workers, or those of other ranks, share processors.
    public init(count: Int, processors: [Int] = [], isCrowded: Bool = false) {
        self.count = max(1, count)
        self.isCrowded = isCrowded
        pthread_mutex_init(&mutex, nil)
        pthread_cond_init(&wakeUp, nil)
        for index in 1..<max(1, self.count) {
            let start = WorkerStart(
                pool: self, index: index, processor: index < processors.count ? processors[index] : nil)
            var thread = pthread_t()
            let status = pthread_create(
                &thread, nil,
                { raw in
                    guard let raw else { return nil }
                    let start = Unmanaged<WorkerStart>.fromOpaque(raw).takeRetainedValue()
                    if let processor = start.processor { ck_bind_thread(Int32(processor)) }
                    start.pool.work(index: start.index)
                    return nil
                }, Unmanaged.passRetained(start).toOpaque())
            if status == 0 { threads.append(thread) }
        }
        if self.count > 1, let first = processors.first { ck_bind_thread(Int32(first)) }
    }

    /// Ends the threads.
    ///
    /// The pool must not be used afterwards.
    public func stop() {
        isStopping.store(true, ordering: .releasing)
        generation.add(1, ordering: .releasing)
        wake()
        for thread in threads { pthread_join(thread, nil) }
        threads = []
    }

    /// Runs all shares of a kernel, and returns when the last is done.
    ///
    /// - Parameter alone: whether the caller runs all of the kernel as one share, because waking workers would cost
    ///   more time than they save.
    func run(_ kernel: @escaping ck_kernel, _ arguments: UnsafeRawPointer, alone: Bool = false) {
        guard !threads.isEmpty, !alone else {
            kernel(arguments, ck_part(index: 0, count: 1))
            return
        }
        job = kernel
        self.arguments = arguments
        remaining.store(threads.count, ordering: .relaxed)
        generation.add(1, ordering: .sequentiallyConsistent)
        if sleepers.load(ordering: .sequentiallyConsistent) > 0 { wake() }
        kernel(arguments, ck_part(index: 0, count: Int32(threads.count + 1)))
        let patience = isCrowded ? Self.crowdedPauses : 20_000
        var spins = 0
        while remaining.load(ordering: .acquiring) > 0 {
            spins += 1
            if spins > patience { sched_yield() } else { ck_pause() }
        }
    }

    /// Runs `body(index, count)` once on each worker, for work outside the kernels, such as packing weights.
    public func forEachWorker(_ body: (_ index: Int, _ count: Int) -> Void) {
        withoutActuallyEscaping(body) { body in
            var body = body
            withUnsafePointer(to: &body) { pointer in
                run(
                    { raw, part in
                        let body = raw.assumingMemoryBound(to: ((Int, Int) -> Void).self).pointee
                        body(Int(part.index), Int(part.count))
                    }, UnsafeRawPointer(pointer))
            }
        }
    }

    private func work(index: Int) {
        var seen: UInt32 = 0
        while true {
            let patience = isCrowded ? Self.crowdedPauses : 50_000
            var spins = 0
            while generation.load(ordering: .acquiring) == seen {
                spins += 1
                if spins > patience { sleep(after: seen) } else { ck_pause() }
            }
            seen &+= 1
            if isStopping.load(ordering: .acquiring) { return }
            if let job, let arguments {
                job(arguments, ck_part(index: Int32(index), count: Int32(threads.count + 1)))
            }
            remaining.subtract(1, ordering: .releasing)
        }
    }

    private func sleep(after seen: UInt32) {
        pthread_mutex_lock(&mutex)
        sleepers.add(1, ordering: .sequentiallyConsistent)
        while generation.load(ordering: .sequentiallyConsistent) == seen { pthread_cond_wait(&wakeUp, &mutex) }
        sleepers.subtract(1, ordering: .sequentiallyConsistent)
        pthread_mutex_unlock(&mutex)
    }

    private func wake() {
        pthread_mutex_lock(&mutex)
        pthread_cond_broadcast(&wakeUp)
        pthread_mutex_unlock(&mutex)
    }
}

private final class WorkerStart {
    let pool: WorkerPool
    let index: Int
    let processor: Int?

    init(pool: WorkerPool, index: Int, processor: Int?) {
        self.pool = pool
        self.index = index
        self.processor = processor
    }
}

/// Gives the numbers of the processors that this process may run on, in order.
public func allowedProcessors() -> [Int] {
    var processors = [Int32](repeating: 0, count: 1024)
    let count = ck_allowed_processors(&processors, Int32(processors.count))
    return processors.prefix(Int(count)).map(Int.init)
}

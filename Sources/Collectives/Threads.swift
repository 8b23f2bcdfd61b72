import Glibc

/// What one thread runs, as an object that can pass through a C pointer.
private final class ThreadWork {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) {
        self.run = run
    }
}

/// Starts a joinable thread with 8 MiB of stack.
///
/// The default stack of a secondary thread may be too small for a model.
///
/// - Parameter rank: the rank that an error names.
/// - Throws: `CommunicationError.threadNotStarted`.
package func startThread(
    rank: Int, _ work: @escaping @Sendable () -> Void
) throws(CommunicationError) -> pthread_t {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, 8 << 20)
    var thread = pthread_t()
    let context = Unmanaged.passRetained(ThreadWork(work))
    let code = pthread_create(
        &thread, &attributes,
        { context in
            guard let context else { return nil }
            Unmanaged<ThreadWork>.fromOpaque(context).takeRetainedValue().run()
            return nil
        }, context.toOpaque())
    guard code == 0 else {
        context.release()
        throw .threadNotStarted(rank: rank, code: code)
    }
    return thread
}

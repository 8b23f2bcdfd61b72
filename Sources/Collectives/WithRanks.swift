import Glibc
import Synchronization

/// Runs `body` once for each of `count` ranks, each on its own thread, and returns the results in rank order.
///
/// If a rank throws, the others are released from their operations with an error, and the first error is rethrown
/// when all threads have ended.
///
/// - Parameters:
///   - count: how many ranks; at least 1.
///   - body: what each rank does with its place in the group.
public func withRanks<Result: Sendable>(
    _ count: Int, _ body: @Sendable (ThreadCommunicator) throws -> Result
) throws -> [Result] {
    precondition(count >= 1, "a group has at least one rank")
    let world = ThreadWorld(count: count)
    let group = ThreadGroup(world: world, members: Array(0..<count))
    let results = Mutex([Result?](repeating: nil, count: count))
    withoutActuallyEscaping(body) { body in
        var threads: [pthread_t] = []
        defer {
            for thread in threads { pthread_join(thread, nil) }
        }
        for rank in 0..<count {
            let work = RankWork {
                do {
                    let result = try body(ThreadCommunicator(group: group, rank: rank))
                    results.withLock { $0[rank] = result }
                    world.end(rank: rank, error: nil)
                } catch {
                    world.end(rank: rank, error: error)
                }
            }
            do {
                threads.append(try startThread(rank: rank, work))
            } catch {
                world.end(rank: rank, error: error)
                break
            }
        }
    }
    if let error = world.firstError { throw error }
    return results.withLock { $0.compactMap(\.self) }
}

/// What one thread runs, as an object that can pass through a C pointer.
private final class RankWork {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) {
        self.run = run
    }
}

/// Starts a joinable thread with 8 MiB of stack: the default of a secondary thread may be too small for a model.
private func startThread(rank: Int, _ work: RankWork) throws(CommunicationError) -> pthread_t {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, 8 << 20)
    var thread = pthread_t()
    let context = Unmanaged.passRetained(work)
    let code = pthread_create(
        &thread, &attributes,
        { context in
            guard let context else { return nil }
            Unmanaged<RankWork>.fromOpaque(context).takeRetainedValue().run()
            return nil
        }, context.toOpaque())
    guard code == 0 else {
        context.release()
        throw .threadNotStarted(rank: rank, code: code)
    }
    return thread
}

import Glibc
import Synchronization

/// Runs `body` once for each of `count` ranks, each on its own thread, and returns the results in rank order.
///
/// If a rank throws, the others are released from their operations with an error, and the first error is rethrown
/// when all threads have ended.
///
/// - Parameters:
///   - count: the number of ranks, at least 1.
///   - body: what each rank does, as a member of the group.
/// - Throws: the first error of any rank.
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
            let work: @Sendable () -> Void = {
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

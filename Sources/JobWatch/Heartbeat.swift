import CProcess
import Collectives
import Glibc

/// Notices when a rank dies or its host disappears, and names the rank with what it was doing.
///
/// MPI does not report either. A TCP connection, served by a thread of its own, joins rank 0 to every other rank;
/// nothing goes through MPI after the start. The connection of a rank that is killed closes at once, and a rank that is
/// cut off falls silent; rank 0 tells the others. A rank that ends well or by an error of its own says so first, so
/// that nobody reports it as lost.
///
/// It catches SIGTERM and SIGINT (`InterruptFlag`): a launcher sends SIGTERM about a second after a death, and the line
/// that names the lost rank must come before the process ends.
public final class Heartbeat {
    /// Ends the process with status 75, after one line on standard error from the rank that should report.
    ///
    /// Programs do this after a loss. It cleans nothing up, because the rank's own thread may be waiting in MPI for
    /// ever.
    public static let endTheJob: @Sendable (LostRank) -> Void = { loss in
        if loss.isReportedHere {
            if cprocess_claim_last_words(75) { cprocess_say("\(loss)") }
            // A launcher that has lost a rank may end as soon as the others end, without having read all of their
            // output.
            usleep(200_000)
        } else if loss.rank == 0, loss.cause != .connectionClosed {
            // Each rank notices rank 0's silence at its own beat. If this one ended at once, the launcher would wake
            // rank 0 up before the rank that reports has noticed.
            cprocess_leave_last_words()
            var message = cprocess_message()
            for _ in 0..<150 where !cprocess_hear(&message) { usleep(10_000) }
        }
        _exit(75)
    }

    private let watch: HeartbeatWatch?
    private let thread: pthread_t?
    private let alone: Activity

    /// What this rank is doing; the others say it if this rank is lost.
    public var activity: Activity { watch?.activity ?? alone }

    /// Joins the ranks of `world`; every rank must call it.
    ///
    /// A group of one rank gets no heartbeat.
    ///
    /// - Parameters:
    ///   - world: all ranks of the job; it is used during this call only.
    ///   - options: timeouts, and the interface to use.
    ///   - onLoss: called on the heartbeat's thread, once, when a rank is lost.
    /// - Throws: `HeartbeatError`, the same on every rank, or `CommunicationError`.
    public init(
        over world: any Communicator, options: HeartbeatOptions = HeartbeatOptions(),
        onLoss: @escaping @Sendable (LostRank) -> Void = Heartbeat.endTheJob
    ) throws {
        alone = Activity()
        guard world.size > 1 else {
            (watch, thread) = (nil, nil)
            StartWatch.end()
            return
        }
        InterruptFlag.install()
        let milliseconds = Int32(clamping: options.connectTimeout.nanoseconds / 1_000_000)
        var card = HostCard(interface: options.interface)
        let keys = try HostCard.exchange(card, over: world).map(\.loopbackKey)
        var listener: HeartbeatSocket?
        let places = Set(keys).count == 1 ? InterfaceAddress.loopbacks : InterfaceAddress.everywhere
        if world.rank == 0, let open = try? HeartbeatSocket.listen(at: places) {
            (listener, card.port) = (open.socket, open.port)
            var random = SystemRandomNumberGenerator()
            card.token = card.token.map { _ in UInt8.random(in: .min ... .max, using: &random) }
        }
        let cards = try HostCard.exchange(card, over: world)
        guard cards[0].port != 0 else {
            throw HeartbeatError.system(operation: "listening on rank 0", code: EADDRINUSE)
        }

        var hub: HeartbeatSocket?
        if world.rank != 0 {
            hub = Self.join(cards[0], from: card, rank: world.rank, timeout: milliseconds)
        }
        let watch = try HeartbeatWatch(
            rank: world.rank, cards: cards, listener: listener, hub: hub, options: options, onLoss: onLoss)
        let thread = try startThread(rank: world.rank) { watch.run() }
        self.watch = watch
        self.thread = thread

        // Rank 0's thread welcomes the others meanwhile. Here all learn whether every rank has reached it.
        let joined = try Self.outcomes(world.rank == 0 || hub != nil, over: world)
        if let missing = joined.firstIndex(of: false) {
            throw HeartbeatError.unreachable(
                rank: missing, host: cards[missing].name, hub: cards[0].name,
                addresses: cards[missing].routes(to: cards[0]).map { $0.text(port: cards[0].port) })
        }
        StartWatch.end()
    }

    deinit {
        guard let watch, let thread else { return }
        watch.stop()
        pthread_join(thread, nil)
    }

    /// Tells the others that this rank is about to end.
    ///
    /// At a good end it waits until every rank has called it, as the end of MPI does, so that a rank that is lost
    /// before the last one has finished is still noticed.
    ///
    /// - Parameter failing: whether this rank ends by an error of its own, which it reports itself. Then the others
    ///   report nothing while the launcher ends them.
    /// - Returns: whether no other rank had failed before.
    @discardableResult
    public func leave(failing: Bool = false) -> Bool {
        watch?.leave(failing ? .failing : .goodbye) ?? true
    }

    /// Tries every route to rank 0 until one answers with the token.
    private static func join(
        _ hub: HostCard, from card: HostCard, rank: Int, timeout: Int32
    ) -> HeartbeatSocket? {
        let routes = card.routes(to: hub)
        let share = timeout / Int32(max(1, routes.count))
        for route in routes {
            guard let socket = HeartbeatSocket.connect(to: route, port: hub.port, timeout: share) else { continue }
            var hello = HeartbeatFrame(kind: .hello, rank: rank)
            hello.token = Array(hub.token.prefix(16))
            socket.send(hello)
            // A private address may belong to another machine here; only rank 0 knows the second half of the token.
            if let answer = socket.awaitFrame(timeout: share), answer.kind == .welcome,
                answer.token == Array(hub.token.suffix(16))
            {
                return socket
            }
        }
        return nil
    }

    private static func outcomes(
        _ mine: Bool, over world: any Communicator
    ) throws(CommunicationError) -> [Bool] {
        let all = UnsafeMutableRawBufferPointer.allocate(byteCount: world.size, alignment: 1)
        defer { all.deallocate() }
        try withUnsafeBytes(of: UInt8(mine ? 1 : 0)) { mine throws(CommunicationError) in
            try world.allGather(mine, into: all)
        }
        return all.map { $0 != 0 }
    }
}

/// Runs `body` with a heartbeat over `world`, and tells the others how this rank ends.
///
/// - Parameters:
///   - world: all ranks of the job.
///   - options: timeouts, and the interface to use.
///   - onLoss: called on the heartbeat's thread when a rank is lost; by default it ends the process with status 75.
///   - body: the program.
/// - Returns: what `body` returned.
/// - Throws: what `body` throws, after the others have been told that this rank ends by an error of its own.
public func withHeartbeat<Result>(
    over world: any Communicator, options: HeartbeatOptions = HeartbeatOptions(),
    onLoss: @escaping @Sendable (LostRank) -> Void = Heartbeat.endTheJob,
    _ body: (Heartbeat) throws -> Result
) throws -> Result {
    let heartbeat = try Heartbeat(over: world, options: options, onLoss: onLoss)
    do {
        let result = try body(heartbeat)
        heartbeat.leave()
        return result
    } catch {
        let isFirst = heartbeat.leave(failing: true)
        // Rank 0 reports what all ranks have agreed on, whichever rank failed first.
        if !isFirst, !(error is AgreedError) { cprocess_leave_last_words() }
        throw error
    }
}

import CProcess
import Collectives
import Glibc
import Synchronization

/// The work of a heartbeat's thread: it sends and receives signs of life, and notices who is missing.
///
/// `@unchecked Sendable`: the thread alone uses every property that is not an atomic or a constant once it has started.
final class HeartbeatWatch: @unchecked Sendable {
    /// How this rank ends.
    enum Farewell: UInt8 {
        case none
        case goodbye
        case failing

        var kind: HeartbeatFrame.Kind { self == .failing ? .failing : .goodbye }
    }

    private struct Peer {
        let rank: Int
        let socket: HeartbeatSocket
        var lastHeard: Int64
        var phase = Phase.starting
        var step: UInt64 = 0
        /// Whether it has said goodbye, so that its silence means nothing.
        ///
        /// It is kept until its connection closes, because it may still wait for our goodbye.
        var hasLeft = false
    }

    private struct Stranger {
        let socket: HeartbeatSocket
        let deadline: Int64
    }

    let activity: Activity
    private let rank: Int
    private let cards: [HostCard]
    private let options: HeartbeatOptions
    private let onLoss: @Sendable (LostRank) -> Void
    private let pipe: (read: Int32, write: Int32)

    private let farewell = Atomic<UInt8>(0)
    private let farewellIsOver = Atomic<Bool>(false)
    private let endingIsKnown = Atomic<Bool>(false)
    /// The rank that was the first to end by an error of its own; -1 if none is known.
    private let firstToFail = Atomic<Int>(-1)
    private let isStopped = Atomic<Bool>(false)

    private var listener: HeartbeatSocket?
    private var peers: [Peer]
    private var strangers: [Stranger] = []
    private var joinedRanks: Set<Int> = []
    /// Whether the job is known to end, so that connections that close mean nothing.
    private var isQuiet = false
    private var hasSeenInterrupt = false
    /// The time at which rank 0 must have ended after an interrupt.
    private var interruptDeadline: Int64?
    private var farewellIsSent = false

    /// Makes a watch for rank 0, with a listener, or for another rank, with its connection to rank 0.
    init(
        rank: Int, cards: [HostCard], listener: HeartbeatSocket?, hub: HeartbeatSocket?, options: HeartbeatOptions,
        onLoss: @escaping @Sendable (LostRank) -> Void
    ) throws(HeartbeatError) {
        self.rank = rank
        self.cards = cards
        self.listener = listener
        self.options = options
        self.onLoss = onLoss
        peers = hub.map { [Peer(rank: 0, socket: $0, lastHeard: OperationClock.now())] } ?? []
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw .system(operation: "pipe", code: errno) }
        pipe = (ends[0], ends[1])
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        let descriptor = pipe.write
        activity = Activity { Self.wake(descriptor) }
        InterruptFlag.wake(pipe.write)
        // A rank that a signal of a defect ends reports that itself, so the others must not call it lost.
        cprocess_set_farewell(
            { context in
                guard let context else { return }
                _ = Unmanaged<HeartbeatWatch>.fromOpaque(context).takeUnretainedValue().leave(.failing)
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit {
        cprocess_set_farewell(nil, nil)
        InterruptFlag.stopWaking(pipe.write)
        close(pipe.read)
        close(pipe.write)
    }

    // MARK: Called by the rank's own thread

    /// Tells the others how this rank ends.
    ///
    /// At a good end it waits until all others end as well, so that a rank that dies before is still noticed. A failing
    /// rank waits a moment until rank 0 has told the others, because the launcher will end all of them next.
    ///
    /// - Returns: whether no other rank is known to have failed before.
    func leave(_ how: Farewell) -> Bool {
        guard farewell.compareExchange(expected: 0, desired: how.rawValue, ordering: .relaxed).exchanged else {
            return true
        }
        wake()
        var patience = how == .failing ? 200 : Int.max
        while patience > 0, !farewellIsOver.load(ordering: .acquiring), !endingIsKnown.load(ordering: .acquiring) {
            usleep(1000)
            patience -= 1
        }
        return [-1, rank].contains(firstToFail.load(ordering: .relaxed))
    }

    /// Lets the thread end, after a goodbye if there has been none.
    func stop() {
        _ = farewell.compareExchange(expected: 0, desired: Farewell.goodbye.rawValue, ordering: .relaxed)
        isStopped.store(true, ordering: .releasing)
        wake()
    }

    private func wake() { Self.wake(pipe.write) }

    private static func wake(_ descriptor: Int32) {
        var byte: UInt8 = 1
        _ = write(descriptor, &byte, 1)
    }

    // MARK: The thread

    /// Runs until `stop`.
    func run() {
        let interval = max(1, options.interval.nanoseconds)
        var nextBeat = OperationClock.now()
        var lastTurn = nextBeat
        while !isStopped.load(ordering: .acquiring) {
            waitForNews(until: nextBeat)
            let now = OperationClock.now()
            // If this process was stopped, or the machine slept, silence says nothing about the others.
            if now - lastTurn > 3 * interval { for index in peers.indices { peers[index].lastHeard = now } }
            // If this process was stopped for longer than the timeout, the others may have reported it as lost and
            // closed.
            let wasGivenUp = now - lastTurn > options.timeout.nanoseconds
            lastTurn = now
            acceptStrangers(now)
            readPeers(now, wasGivenUp: wasGivenUp)
            takeLeave()
            if InterruptFlag.isRaised, !hasSeenInterrupt { noteInterrupt(now, interval) }
            if let interruptDeadline, now > interruptDeadline { endInterrupted() }
            guard now >= nextBeat || activity.takeNews() else { continue }
            nextBeat = now + interval
            sendBeats()
            reportSilence(longerThan: options.timeout.nanoseconds, now)
        }
        takeLeave()
    }

    private func waitForNews(until deadline: Int64) {
        var entries = [pollfd(fd: pipe.read, events: Int16(POLLIN), revents: 0)]
        let sockets = [listener].compactMap(\.self) + strangers.map(\.socket) + peers.map(\.socket)
        entries += sockets.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        let pause = max(0, deadline - OperationClock.now()) / 1_000_000 + 1
        poll(&entries, UInt(entries.count), Int32(clamping: pause))
        var drain = [UInt8](repeating: 0, count: 16)
        while read(pipe.read, &drain, drain.count) > 0 {}
    }

    private func takeLeave() {
        guard let how = Farewell(rawValue: farewell.load(ordering: .relaxed)), how != .none else { return }
        let othersHaveLeft = peers.allSatisfy(\.hasLeft) && joinedRanks.count == (rank == 0 ? cards.count - 1 : 0)
        // Rank 0 says goodbye last, because the others need it until then.
        if !farewellIsSent, how == .failing || rank != 0 || othersHaveLeft || isStopped.load(ordering: .acquiring) {
            farewellIsSent = true
            if how == .failing { isQuiet = true }
            if how == .failing, rank == 0 { noteFailure(of: 0) }
            sendToAll(
                how == .failing && rank == 0 ? endingFrame : HeartbeatFrame(kind: how.kind, rank: rank))
        }
        // A failing rank other than 0 waits for rank 0's answer (`endingIsKnown`) instead.
        if farewellIsSent, how == .failing ? rank == 0 : othersHaveLeft {
            farewellIsOver.store(true, ordering: .releasing)
        }
    }

    /// Accepts connections on rank 0: one that presents the token in time becomes a peer, and all others are closed.
    private func acceptStrangers(_ now: Int64) {
        while strangers.count < 64, let socket = listener?.accept() {
            strangers.append(Stranger(socket: socket, deadline: now + 5_000_000_000))
        }
        strangers = strangers.filter { stranger in
            switch stranger.socket.read() {
            case .nothing: return now < stranger.deadline
            case .closed: return false
            case .frame(let hello):
                welcome(hello, stranger.socket, now)
                return false
            }
        }
    }

    private func welcome(_ hello: HeartbeatFrame, _ socket: HeartbeatSocket, _ now: Int64) {
        guard hello.kind == .hello, hello.token == Array(cards[0].token.prefix(16)),
            (1..<cards.count).contains(hello.rank), joinedRanks.insert(hello.rank).inserted
        else { return }
        peers.append(Peer(rank: hello.rank, socket: socket, lastHeard: now))
        var answer = HeartbeatFrame(kind: .welcome, rank: 0)
        answer.token = Array(cards[0].token.suffix(16))
        socket.send(answer)
        if joinedRanks.count == cards.count - 1 { listener = nil }
    }

    private func readPeers(_ now: Int64, wasGivenUp: Bool) {
        for peer in peers {
            var reading = peer.socket.read()
            while case .frame(let frame) = reading {
                note(frame, from: peer.rank, now)
                reading = peer.socket.read()
            }
            if case .closed = reading { lose(peer.rank, .connectionClosed, isKnown: wasGivenUp) }
        }
    }

    private func note(_ frame: HeartbeatFrame, from sender: Int, _ now: Int64) {
        guard let index = peers.firstIndex(where: { $0.rank == sender }) else { return }
        peers[index].lastHeard = now
        switch frame.kind {
        case .beat:
            peers[index].phase = frame.phase
            peers[index].step = frame.step
        case .goodbye:
            peers[index].hasLeft = true
        case .failing where rank == 0:
            // The sender is told too, because it waits for this before it ends the job.
            noteFailure(of: sender)
            endQuietly()
            peers[index].hasLeft = true
            sendToAll(endingFrame)
        case .ending where rank != 0:
            noteFailure(of: frame.rank)
            endQuietly()
        case .interrupted where rank == 0:
            InterruptFlag.raiseElsewhere()
        case .lost where rank != 0 && cards.indices.contains(frame.rank):
            guard !isQuiet else { return }
            endQuietly()
            onLoss(
                LostRank(
                    rank: frame.rank, host: cards[frame.rank].name, phase: frame.phase, step: frame.step,
                    cause: frame.cause == 0
                        ? .connectionClosed : .silence(.milliseconds(Int64(clamping: frame.milliseconds))),
                    isReportedHere: false))
        case .hello, .welcome, .failing, .ending, .lost, .interrupted:
            break
        }
    }

    /// Notes that a rank has failed; only the first one is kept.
    private func noteFailure(of failed: Int) {
        _ = firstToFail.compareExchange(expected: -1, desired: failed, ordering: .relaxed)
    }

    private var endingFrame: HeartbeatFrame {
        HeartbeatFrame(kind: .ending, rank: firstToFail.load(ordering: .relaxed))
    }

    private func noteInterrupt(_ now: Int64, _ interval: Int64) {
        hasSeenInterrupt = true
        // The launcher ends a job by SIGTERM when it has lost a host, often before our own timeout. Then a rank that
        // has missed three beats is the reason. Otherwise all ranks are told to end, and connections that close mean
        // nothing.
        reportSilence(longerThan: 3 * interval, now)
        isQuiet = true
        // Rank 0 decides what is computed, so the job ends when rank 0 stops.
        if rank == 0 {
            interruptDeadline = now + Self.interruptPatience
        } else {
            sendToAll(HeartbeatFrame(kind: .interrupted, rank: rank))
        }
    }

    /// How long rank 0 may take to end in an orderly way, in nanoseconds: it may wait for input, or be in a long step.
    private static let interruptPatience: Int64 = 4_000_000_000

    private func endInterrupted() {
        guard farewell.load(ordering: .relaxed) == 0 else { return }
        if cprocess_claim_last_words(130) {
            let current = activity.current
            cprocess_say("interrupted while \(current.phase.description(step: current.step)); ending the job")
        }
        usleep(200_000)
        _exit(130)
    }

    private func reportSilence(longerThan limit: Int64, _ now: Int64) {
        for peer in peers where !peer.hasLeft && now - peer.lastHeard > limit {
            lose(peer.rank, .silence(.nanoseconds(now - peer.lastHeard)))
        }
    }

    /// Ends the job because a rank was lost.
    ///
    /// - Parameter isKnown: whether the others have reported already what was lost, so that this rank reports nothing.
    private func lose(_ lost: Int, _ cause: LostRank.Cause, isKnown: Bool = false) {
        guard let index = peers.firstIndex(where: { $0.rank == lost }) else { return }
        let peer = peers[index]
        defer { peers.removeAll { $0.rank == lost } }
        guard !isQuiet, !peer.hasLeft else { return }
        endQuietly()  // connections that close after the first loss are its consequence
        if rank == 0 {
            var frame = HeartbeatFrame(kind: .lost, rank: lost)
            frame.phase = peer.phase
            frame.step = peer.step
            if case .silence(let time) = cause {
                frame.cause = 1
                frame.milliseconds = UInt64(clamping: time.nanoseconds / 1_000_000)
            }
            sendToAll(frame)  // to the lost rank too, which may wake up and must not report the others
        }
        onLoss(
            LostRank(
                rank: lost, host: cards[lost].name, phase: peer.phase, step: peer.step, cause: cause,
                isReportedHere: !isKnown && rank == reporter(ofLost: lost, cause)))
    }

    private func endQuietly() {
        isQuiet = true
        endingIsKnown.store(true, ordering: .releasing)
    }

    /// Gives the lowest rank that is believed to survive.
    ///
    /// If a host has fallen silent, all of its ranks count as lost.
    private func reporter(ofLost lost: Int, _ cause: LostRank.Cause) -> Int {
        if lost != 0 { return 0 }
        if case .silence = cause,
            let elsewhere = cards.firstIndex(where: { $0.loopbackKey != cards[0].loopbackKey })
        {
            return elsewhere
        }
        return 1
    }

    private func sendBeats() {
        let current = activity.current
        var frame = HeartbeatFrame(kind: .beat, rank: rank)
        frame.phase = current.phase
        frame.step = current.step
        frame.milliseconds = UInt64(clamping: current.elapsed.nanoseconds / 1_000_000)
        sendToAll(frame)
    }

    private func sendToAll(_ frame: HeartbeatFrame) {
        for peer in peers { peer.socket.send(frame) }
    }
}

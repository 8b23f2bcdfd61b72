import CProcess
import Collectives
import Glibc
import Synchronization

/// Ends the job, with one line, when a rank is lost while MPI starts or ends, when no heartbeat beats.
///
/// In `MPI_Init` a rank cannot ask the others anything, and a rank that never comes keeps all others there for ever. So
/// a thread of each rank looks at the processes of its own host. After the timeout it names those that are stopped or
/// missing; if all run, it names those that still wait, with what may hinder them. One rank of each host speaks.
package final class StartWatch: Sendable {
    /// The stage that is watched.
    package enum Stage: Sendable {
        case starting
        case ending

        var doing: String {
            switch self {
            case .starting: "starting"
            case .ending: "ending MPI"
            }
        }
    }

    /// The time between two looks, in nanoseconds.
    private static let tick: Int64 = 20_000_000
    private static let current = Mutex<StartWatch?>(nil)

    private let stage: Stage
    /// How long the stage may take, in nanoseconds.
    private let patience: Int64
    private let isOver = Atomic<Bool>(false)
    /// Whether the job was already ending in an orderly way when the watch began.
    private let wasInterrupted = InterruptFlag.isRaised

    private init(_ stage: Stage, patience: Int64) {
        (self.stage, self.patience) = (stage, patience)
    }

    /// Starts to watch, in a thread of its own, until `end` is called.
    ///
    /// - Parameter patience: how long the stage may take.
    package static func begin(_ stage: Stage, patience: Duration) throws(CommunicationError) {
        // Without a mailbox two ranks may speak, which is no reason not to start.
        _ = cprocess_meet()
        let watch = StartWatch(stage, patience: patience.nanoseconds)
        let thread = try startThread(rank: Int(cprocess_rank())) { watch.run() }
        pthread_detach(thread)
        current.withLock { $0 = watch }
    }

    /// Ends the watch, if there is one, because the stage is over.
    package static func end() {
        let watch = current.withLock { current -> StartWatch? in
            defer { current = nil }
            return current
        }
        guard let watch else { return }
        watch.isOver.store(true, ordering: .releasing)
        if watch.stage == .ending {
            cprocess_tell(cprocess_message(word: Int32(CPROCESS_FINISHED.rawValue), rank: 0, status: 0))
        }
    }

    // MARK: The thread

    private func run() {
        // These are closed before looking around, in case this process may open no more files.
        let spares = (0..<3).map { _ in open("/dev/null", O_RDONLY | O_CLOEXEC) }
        var look = Look(stage: stage)
        look.around()
        var waited: Int64 = 0
        var last = OperationClock.now()
        while !isOver.load(ordering: .acquiring) {
            usleep(UInt32(Self.tick / 1000))
            hear(&look)
            let isLate = waited > patience
            let isInterrupted = InterruptFlag.isRaised && !wasInterrupted
            if isLate || isInterrupted {
                spares.forEach { close($0) }
                look.around()
            }
            guard !isOver.load(ordering: .acquiring) else { return }
            if isInterrupted { endInterrupted(look, waited: waited) }
            if isLate { judge(look, late: waited - patience) }
            let now = OperationClock.now()
            // Time in which this process was stopped, or the machine slept, does not count.
            waited += min(now - last, 50 * Self.tick)
            if look.mayMeetMore { look.around() }
            last = now
        }
        spares.forEach { close($0) }
    }

    private func hear(_ look: inout Look) {
        var message = cprocess_message()
        while cprocess_hear(&message) {
            switch cprocess_word(UInt32(bitPattern: message.word)) {
            case CPROCESS_FINISHED:
                look.finished.insert(Int(message.rank))
            default:
                cprocess_leave_last_words()
                awaitEnd(status: message.status)
            }
        }
    }

    /// Waits for the launcher to end this rank, because another rank has spoken and ends.
    ///
    /// This rank does not end by itself: Open MPI 4.1.4's mpirun may crash or hang when ranks end at the same moment
    /// while MPI starts.
    private func awaitEnd(status: Int32) -> Never {
        for _ in 0..<150 where !InterruptFlag.isRaised { usleep(UInt32(Self.tick / 1000)) }
        _exit(status)
    }

    /// Ends this rank after a signal: from the launcher because a rank is gone, or from a user who wants the job to
    /// end.
    ///
    /// - Parameter waited: for how long this rank has watched, in nanoseconds.
    private func endInterrupted(_ look: Look, waited: Int64) -> Never {
        if !InterruptFlag.isFromLauncher {
            say("rank \(cprocess_rank()) on \(hostName()): interrupted while \(stage.doing)", status: 130)
            _exit(130)
        }
        // If this rank was stopped for long, the others have named it before they ended.
        let wasAway = Int64(clamping: cprocess_age()) - waited > patience
        if !wasAway, let loss = look.missingLine { say(loss, status: 75) }
        // Ranks that have not looked yet must still find this one.
        usleep(300_000)
        _exit(130)
    }

    /// Names who is lost, if it is this rank's turn to speak.
    ///
    /// - Parameter late: for how long the time has been over, in nanoseconds.
    private func judge(_ look: Look, late: Int64) {
        // The lowest rank that runs speaks; if it does not within a second, any other does.
        let isFirst = look.running.first?.rank == Int(cprocess_rank())
        let second: Int64 = 1_000_000_000
        guard isFirst || late > second else { return }
        if let loss = look.stopped.line ?? look.missingLine ?? look.ownFault {
            end(with: loss)
        }
        // The ranks of another host may know more, and get two seconds to say so.
        let isFirstOfAll = look.running.first?.rank == 0
        guard late > 2 * second + (isFirst ? 0 : second / 2) + (isFirstOfAll ? 0 : second / 2) else { return }
        end(with: look.allRun(for: (patience + late) / second))
    }

    private func end(with line: String) -> Never {
        say(line, status: 75)
        _exit(75)
    }

    private func say(_ line: String, status: Int32) {
        if cprocess_claim_last_words(status) {
            cprocess_say(line)
            // Open MPI 4.1.4's mpirun sometimes never ends after it has lost a rank while MPI starts.
            cprocess_see_launcher_end(3000)
        }
        // The launcher may end as soon as its ranks end, without having read all of their output.
        usleep(200_000)
    }
}

/// What a rank sees of the other ranks of its host.
private struct Look {
    /// Ranks of this host that are lost, with the reason.
    struct Loss {
        var stage: StartWatch.Stage
        var ranks: [Int]
        var reason: String

        var line: String? {
            guard !ranks.isEmpty else { return nil }
            let names = ranks.map(String.init).joined(separator: ", ")
            return "\(ranks.count == 1 ? "rank" : "ranks") \(names) on \(hostName()) "
                + "\(ranks.count == 1 ? "was" : "were") lost while \(stage.doing) (\(reason)); ending the job"
        }
    }

    let stage: StartWatch.Stage
    /// Ranks that have ended MPI, and may be gone.
    var finished: Set<Int> = []
    /// Ranks that are known to run on this host, or to have run here.
    private var known: Set<Int>
    private let localSize = Int(cprocess_local_size())
    private(set) var running: [(rank: Int, pid: Int32)] = []
    private(set) var stopped: Loss
    private(set) var missing: Loss

    init(stage: StartWatch.Stage) {
        self.stage = stage
        // If all ranks run on one host, it is known from the start which ranks belong here.
        let size = Int(cprocess_size())
        known = size > 0 && localSize == size ? Set(0..<size) : []
        stopped = Loss(stage: stage, ranks: [], reason: "")
        missing = Loss(stage: stage, ranks: [], reason: "its process has ended, or has not begun")
    }

    /// Whether some ranks of this host have not been seen yet.
    var mayMeetMore: Bool { known.count < localSize }

    mutating func around() {
        let size = Int(cprocess_size())
        var found = [cprocess_peer](repeating: cprocess_peer(), count: max(1024, size))
        let count = cprocess_peers(&found, Int32(found.count))
        guard count > 0 else { return }
        let here = found.prefix(Int(count))
        let halted = here.filter { [UInt8(ascii: "T"), UInt8(ascii: "t")].contains(UInt8(bitPattern: $0.state)) }
        stopped.ranks = halted.map { Int($0.rank) }
        let pids = halted.map { "\($0.pid)" }.joined(separator: ", ")
        stopped.reason = halted.count == 1 ? "process \(pids) is stopped" : "processes \(pids) are stopped"
        running = here.filter { $0.is_program && !stopped.ranks.contains(Int($0.rank)) }.map { (Int($0.rank), $0.pid) }
        let present = Set(running.map(\.rank)).union(stopped.ranks)
        known.formUnion(present)
        missing.ranks = known.subtracting(present).subtracting(finished).sorted()
    }

    /// The line about missing ranks; of ranks that were gone before this one first looked, it can only say how many.
    var missingLine: String? {
        guard mayMeetMore, missing.ranks.isEmpty else { return missing.line }
        return "\(localSize - known.count) of the \(localSize) ranks on \(hostName()) was lost while \(stage.doing) "
            + "(\(missing.reason)); ending the job"
    }

    /// The line about what keeps this rank itself from starting; nil if nothing is known.
    var ownFault: String? {
        var limit = rlimit()
        let descriptor = dup(STDERR_FILENO)
        if descriptor >= 0 {
            close(descriptor)
            return nil
        }
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Loss(
            stage: stage, ranks: [Int(cprocess_rank())],
            reason: "it may open \(limit.rlim_cur) files only: raise ulimit -n"
        ).line
    }

    /// Gives the line that all ranks of this host run and still do not get on, with possible reasons.
    func allRun(for seconds: Int64) -> String {
        let names = running.map { "\($0.rank)" }.joined(separator: ", ")
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let places = ["/dev/shm", getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"]
        let room = places.map { "\(Self.freeKibibytes(in: $0)) KiB in \($0)" }.joined(separator: " and ")
        return
            "\(running.count == 1 ? "rank" : "ranks") \(names) on \(hostName()) \(running.count == 1 ? "is" : "are") still "
            + "\(stage.doing) after \(seconds) s; see what the ranks of other hosts do, whether \(room) are room enough, and "
            + "\(limit.rlim_cur) open files (ulimit -n), or raise --timeout"
    }

    private static func freeKibibytes(in path: String) -> UInt64 {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return 0 }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize) >> 10
    }
}

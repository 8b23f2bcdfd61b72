import CProcess
import Collectives
import Synchronization

/// What a rank is doing; a message names it if the rank is lost.
public enum Phase: UInt8, Sendable, CaseIterable {
    /// Before any work.
    case starting
    /// Reading weights.
    case loading
    /// Waiting for a request.
    case waiting
    /// Computing a prompt.
    case prefill
    /// Computing new tokens.
    case decode
    /// Inside an operation of a communicator.
    case communicating
    /// Writing results and ending.
    case finishing

    /// The words after "was lost while"; the number of a step may follow.
    var doing: StaticString {
        switch self {
        case .starting: "starting"
        case .loading: "loading"
        case .waiting: "waiting for work"
        case .prefill: "in prefill, step"
        case .decode: "decoding step"
        case .communicating: "communicating in step"
        case .finishing: "finishing"
        }
    }

    /// Whether the number of the step belongs to the description.
    var countsSteps: Bool {
        switch self {
        case .prefill, .decode, .communicating: true
        case .starting, .loading, .waiting, .finishing: false
        }
    }

    /// Whether other ranks learn at once when the phase begins and ends, because it comes only once in a job.
    var isAnnounced: Bool {
        switch self {
        case .starting, .loading, .finishing: true
        case .waiting, .prefill, .decode, .communicating: false
        }
    }

    /// Gives the words after "was lost while", with the number of the step if it belongs to them.
    func description(step: UInt64) -> String {
        countsSteps ? "\(doing) \(step)" : "\(doing)"
    }
}

/// What this rank is doing now: the engine writes it, and the heartbeat's thread reads it.
public final class Activity: Sendable {
    /// The phase in the lowest 8 bits and the step above them, in one word so that the two always belong together.
    private let state = Atomic<UInt64>(0)
    private let entered: Atomic<Int64>
    private let hasNews = Atomic<Bool>(false)
    private let announce: @Sendable () -> Void

    /// Makes a record whose phase is `starting`.
    ///
    /// - Parameter announce: called when other ranks should learn at once what this rank does.
    init(announce: @escaping @Sendable () -> Void = {}) {
        entered = Atomic(OperationClock.now())
        self.announce = announce
    }

    /// Notes what this rank does from now on.
    ///
    /// It costs a few stores and a reading of the clock.
    public func enter(_ phase: Phase, step: Int = 0) {
        let word = UInt64(truncatingIfNeeded: step) << 8 | UInt64(phase.rawValue)
        let last = Self.phase(of: state.exchange(word, ordering: .relaxed))
        entered.store(OperationClock.now(), ordering: .relaxed)
        phase.doing.withUTF8Buffer { text in
            guard let start = text.baseAddress else { return }
            cprocess_enter(start, phase.countsSteps ? UInt64(truncatingIfNeeded: step) : .max)
        }
        guard last != phase, last.isAnnounced || phase.isAnnounced else { return }
        hasNews.store(true, ordering: .releasing)
        announce()
    }

    /// Tells whether there is something to announce, and marks it as announced.
    func takeNews() -> Bool { hasNews.exchange(false, ordering: .acquiring) }

    /// What this rank does, in which step, and for how long already.
    public var current: (phase: Phase, step: UInt64, elapsed: Duration) {
        let word = state.load(ordering: .relaxed)
        let since = OperationClock.now() - entered.load(ordering: .relaxed)
        return (Self.phase(of: word), word >> 8, .nanoseconds(since))
    }

    private static func phase(of word: UInt64) -> Phase { Phase(rawValue: UInt8(word & 0xFF)) ?? .starting }
}

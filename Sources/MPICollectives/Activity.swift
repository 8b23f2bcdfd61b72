import Collectives
import Synchronization

/// What a rank is doing, for the message that names it if it is lost.
public enum Phase: UInt8, Sendable, CaseIterable {
    /// Before any work.
    case starting
    /// Reading weights.
    case loading
    /// Ready, without a request.
    case waiting
    /// Computing a prompt.
    case prefill
    /// Computing new tokens.
    case decode
    /// Inside an operation of a communicator.
    case communicating
    /// Writing results, ending.
    case finishing

    /// As the end of "was lost while …".
    func description(step: UInt64) -> String {
        switch self {
        case .starting: "starting"
        case .loading: "loading"
        case .waiting: "waiting for work"
        case .prefill: "in prefill, step \(step)"
        case .decode: "decoding step \(step)"
        case .communicating: "communicating in step \(step)"
        case .finishing: "finishing"
        }
    }
}

/// What this rank is doing now; the engine writes it, the heartbeat's thread reads it.
public final class Activity: Sendable {
    /// The phase in the lowest 8 bits, the step above: one word, so that the two always belong together.
    private let state = Atomic<UInt64>(0)
    private let entered: Atomic<Int64>

    init() {
        entered = Atomic(OperationClock.now())
    }

    /// Notes what this rank does from now on.
    ///
    /// Costs two stores and a reading of the clock.
    public func enter(_ phase: Phase, step: Int = 0) {
        state.store(UInt64(truncatingIfNeeded: step) << 8 | UInt64(phase.rawValue), ordering: .relaxed)
        entered.store(OperationClock.now(), ordering: .relaxed)
    }

    /// What this rank does, the step, and for how long already.
    public var current: (phase: Phase, step: UInt64, elapsed: Duration) {
        let word = state.load(ordering: .relaxed)
        let since = OperationClock.now() - entered.load(ordering: .relaxed)
        return (Phase(rawValue: UInt8(word & 0xFF)) ?? .starting, word >> 8, .nanoseconds(since))
    }
}

import Glibc

/// How a heartbeat listens and waits.
public struct HeartbeatOptions: Sendable {
    /// Silence for longer than this is a death.
    public var timeout: Duration
    /// Time between two signs of life.
    public var interval: Duration
    /// The network interface to use, by name (`eth0`) or subnet (`10.77.0.0/24`); nil tries all.
    public var interface: String?
    /// How long a rank may take to reach rank 0 at the start.
    public var connectTimeout: Duration

    /// Makes options; the interface comes from `TRIREME_HEARTBEAT_INTERFACE` unless it is given.
    public init(
        timeout: Duration = .seconds(60), interval: Duration = .milliseconds(500), interface: String? = nil,
        connectTimeout: Duration = .seconds(10)
    ) {
        self.timeout = timeout
        self.interval = interval
        self.interface = interface ?? getenv("TRIREME_HEARTBEAT_INTERFACE").map { String(cString: $0) }
        self.connectTimeout = connectTimeout
    }
}

/// A rank that ended or fell silent without saying goodbye.
public struct LostRank: Equatable, Sendable, CustomStringConvertible {
    /// How the loss was noticed.
    public enum Cause: Equatable, Sendable {
        /// Its kernel closed its connection: the process has ended.
        case connectionClosed
        /// Nothing was heard for so long: its host or the network between has failed.
        case silence(Duration)
    }

    /// Which rank.
    public let rank: Int
    /// The host that it ran on.
    public let host: String
    /// What it was last known to do.
    public let phase: Phase
    /// The step it was last known to be in.
    public let step: UInt64
    /// How the loss was noticed.
    public let cause: Cause
    /// Whether this rank is the one that should report the loss: the lowest that is believed to survive.
    public let isReportedHere: Bool

    /// One line, without the newline.
    public var description: String {
        let reason =
            switch cause {
            case .connectionClosed: "connection closed"
            case .silence(let time): "nothing heard for \(max(1, time.components.seconds)) s"
            }
        return "rank \(rank) on \(host) was lost while \(phase.description(step: step)) (\(reason)); ending the job"
    }
}

/// Why the ranks could not be joined by a heartbeat.
public enum HeartbeatError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The operating system refused.
    case system(operation: String, code: Int32)
    /// A rank found no address at which rank 0 answers.
    case unreachable(rank: Int, host: String, hub: String, addresses: [String])

    public var description: String {
        switch self {
        case .system(let operation, let code):
            return "the heartbeat's \(operation) failed: \(String(cString: strerror(code)))"
        case .unreachable(let rank, let host, let hub, let addresses):
            return "rank \(rank) on \(host) could not reach the heartbeat of rank 0 on \(hub) at "
                + (addresses.isEmpty ? "any address" : addresses.joined(separator: ", "))
                + "; name the network interface in TRIREME_HEARTBEAT_INTERFACE"
        }
    }
}

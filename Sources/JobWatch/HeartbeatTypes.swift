import Glibc

/// How a heartbeat listens and waits.
public struct HeartbeatOptions: Sendable {
    /// A rank that is silent for longer than this counts as lost.
    public var timeout: Duration
    /// The time between two signs of life.
    public var interval: Duration
    /// The network interface to use, by name (`eth0`) or subnet (`10.77.0.0/24`, `fd00:77::/64`); with nil all are
    /// tried.
    public var interface: String?
    /// How long a rank may take to reach rank 0 at the start.
    public var connectTimeout: Duration

    /// Makes options; the interface is taken from `TRIREME_HEARTBEAT_INTERFACE` unless it is given.
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
        /// Its kernel has closed its connection, so the process has ended.
        case connectionClosed
        /// Nothing was heard of it for this long, so its host or the network has failed.
        case silence(Duration)
    }

    /// The number of the rank.
    public let rank: Int
    /// The host that it ran on.
    public let host: String
    /// What it was last known to do.
    public let phase: Phase
    /// The step it was last known to be in.
    public let step: UInt64
    /// How the loss was noticed.
    public let cause: Cause
    /// Whether this rank should report the loss: it is the lowest rank that is believed to survive.
    public let isReportedHere: Bool

    /// The message, in one line without a newline.
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
    /// The operating system refused a call.
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

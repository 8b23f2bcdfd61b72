/// The exit statuses of all programs (BSD's sysexits where one fits).
public enum ExitStatus: Int32, Sendable {
    case done = 0
    /// Wrong usage.
    case usage = 64
    /// An input is malformed, or does not fit.
    case badInput = 65
    /// An input is missing.
    case missingInput = 66
    /// A defect of ours.
    case defect = 70
    /// A rank was lost, or timed out.
    case lostRank = 75
    case interrupted = 130
}

/// Faults that only the whole program can see.
public struct RunError: Error, CustomStringConvertible {
    public let status: ExitStatus
    public let description: String

    public init(_ status: ExitStatus, _ description: String) {
        self.status = status
        self.description = description
    }
}

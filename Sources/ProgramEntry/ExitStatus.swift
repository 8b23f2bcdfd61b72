/// The exit statuses of all programs, from BSD's sysexits where one fits.
public enum ExitStatus: Int32, Sendable {
    case done = 0
    /// The command line is wrong.
    case usage = 64
    /// An input is malformed or unsuitable.
    case badInput = 65
    /// An input is missing.
    case missingInput = 66
    /// The program has a defect.
    case defect = 70
    /// A rank was lost or timed out.
    case lostRank = 75
    case interrupted = 130
}

/// An error of a program, with its exit status and its message.
public struct RunError: Error, CustomStringConvertible {
    public let status: ExitStatus
    public let description: String

    public init(_ status: ExitStatus, _ description: String) {
        self.status = status
        self.description = description
    }
}

/// What went wrong in an exchange between ranks.
public enum CommunicationError: Error, Equatable, Sendable {
    /// A rank was named that the group does not have.
    case noSuchRank(operation: String, rank: Int, groupSize: Int)
    /// A rank tried to send to itself or receive from itself.
    case toItself(operation: String, rank: Int)
    /// A message tag lies outside `MessageTag.allowed`.
    case tagNotAllowed(MessageTag)
    /// A buffer or message has another length than the operation needs.
    case byteCountMismatch(operation: String, rank: Int, expected: Int, found: Int)
    /// The ranks of a group did not ask for the same operation.
    ///
    /// `wanted` says what each asked for, in rank order.
    case differingRequests(sequence: Int, wanted: [String])
    /// Another rank failed first; this one was released from its operation.
    case rankFailed(rank: Int, message: String)
    /// An operation can never complete, because a rank of the group has already ended.
    case rankEnded(operation: String, rank: Int)
    /// Some ranks did not take part in an operation within the time allowed.
    ///
    /// `absent` are their numbers in the job, and `hosts` the names of their hosts, or empty if the job has one host
    /// only.
    case timedOut(operation: String, absent: [Int], hosts: [String], after: Duration)
    /// The operating system did not start a rank's thread.
    case threadNotStarted(rank: Int, code: Int32)
    /// The communication library reported an error.
    case library(operation: String, code: Int, text: String)
}

extension CommunicationError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noSuchRank(let operation, let rank, let size):
            return "\(operation): there is no rank \(rank) in a group of \(size); name a rank from 0 to \(size - 1)"
        case .toItself(let operation, let rank):
            return "\(operation): rank \(rank) names itself as its partner; exchange with another rank of the group"
        case .tagNotAllowed(let tag):
            let allowed = MessageTag.allowed
            return "message tag \(tag.rawValue) cannot be used; choose one from \(allowed.lowerBound) to "
                + "\(allowed.upperBound)"
        case .byteCountMismatch(let operation, let rank, let expected, let found):
            return "\(operation): rank \(rank) has \(found) bytes where \(expected) are expected; "
                + "every rank must give the sizes that the operation asks for"
        case .differingRequests(let sequence, let wanted):
            return "operation \(sequence) of this group differs between its ranks: "
                + Self.grouped(wanted) + "; every rank must call the same operations in the same order"
        case .rankFailed(let rank, let message):
            return "rank \(rank) failed: \(message)"
        case .rankEnded(let operation, let rank):
            return "\(operation) cannot complete: rank \(rank) has ended without taking part; "
                + "every rank must call the same operations in the same order"
        case .timedOut(let operation, let absent, let hosts, let time):
            let ranks = absent.indices.map { index in
                index < hosts.count ? "\(absent[index]) on \(hosts[index])" : "\(absent[index])"
            }.joined(separator: ", ")
            return
                "\(operation): after \(time) still waiting for \(absent.count == 1 ? "rank" : "ranks") \(ranks); "
                + "see what it does, or raise --timeout"
        case .threadNotStarted(let rank, let code):
            return
                "the thread of rank \(rank) could not be started (error \(code)); use fewer ranks or raise the limits"
        case .library(let operation, let code, let text):
            return "\(operation) failed with code \(code): \(text)"
        }
    }

    /// Groups the ranks that wanted the same: `ranks 0, 2 want barrier; rank 1 wants …`.
    private static func grouped(_ wanted: [String]) -> String {
        var kinds: [(wish: String, ranks: [Int])] = []
        for (rank, wish) in wanted.enumerated() {
            if let known = kinds.firstIndex(where: { $0.wish == wish }) {
                kinds[known].ranks.append(rank)
            } else {
                kinds.append((wish, [rank]))
            }
        }
        return kinds.map { kind in
            let names = kind.ranks.map(String.init).joined(separator: ", ")
            return kind.ranks.count == 1 ? "rank \(names) wants \(kind.wish)" : "ranks \(names) want \(kind.wish)"
        }.joined(separator: "; ")
    }
}

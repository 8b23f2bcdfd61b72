import CProcess

/// An error whose message needs no rank in front of it.
///
/// It concerns the whole job, or its message names the rank itself.
public protocol JobError: Error {}

/// An error that every rank of a group throws alike, so that one rank can report it for all.
public struct AgreedError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The lowest rank that failed; 0 where no single rank did.
    public let rank: Int
    /// The host that this rank runs on; empty where no single rank failed.
    public let host: String
    /// The description of that rank's error.
    public let message: String
    /// The exit status of the whole job.
    public let status: Int32
    /// How many ranks agreed.
    public let groupSize: Int
    /// Whether it was a `JobError`.
    public let isOfJob: Bool

    /// The message; if the group has several ranks and the message needs it, with the rank and its host in front.
    public var description: String {
        groupSize == 1 || isOfJob ? message : "rank \(rank) on \(host): \(message)"
    }
}

extension AgreedError {
    /// Makes an error that no single rank caused, and that every rank of the group throws.
    init(ofAll message: String, status: Int32, groupSize: Int) {
        self.init(rank: 0, host: "", message: message, status: status, groupSize: groupSize, isOfJob: true)
    }
}

/// Runs `body` on every rank, and makes all ranks throw the same error if it fails on any of them.
///
/// Every rank of `world` must call it. Ranks exchange their outcomes afterwards, so `body` should be work that can fail
/// for reasons of this rank alone, such as reading files. If `body` itself used the group, it would hang once another
/// rank had failed.
///
/// - Parameters:
///   - world: the ranks that must agree.
///   - status: the exit status that an error calls for.
///   - body: this rank's work.
/// - Returns: what this rank's `body` returned.
/// - Throws: `AgreedError`, the same on every rank, with the lowest rank that failed; `CommunicationError` if the
///   exchange itself failed.
public func agree<Result>(
    on world: any Communicator, status: (any Error) -> Int32, _ body: () throws -> Result
) throws -> Result {
    let outcome = Swift.Result { try body() }
    var mine = Verdict()
    if case .failure(let error) = outcome {
        mine.write(error, status: status(error), rank: world.rank)
    }
    var all = [UInt8](repeating: 0, count: Verdict.byteCount * world.size)
    try mine.bytes.withUnsafeBytes { mine in
        try all.withUnsafeMutableBytes { all in
            try world.allGather(mine, into: all)
        }
    }
    for rank in 0..<world.size {
        let bytes = all[rank * Verdict.byteCount..<(rank + 1) * Verdict.byteCount]
        if let error = Verdict(bytes: Array(bytes)).error(groupSize: world.size) { throw error }
    }
    return try outcome.get()
}

/// This machine's name, for messages.
///
/// The variable `TRIREME_HOST_NAME` replaces it where hosts cannot be told apart.
public func hostName() -> String { String(cString: cprocess_host()) }

/// One rank's outcome in a fixed number of bytes, as ranks exchange it.
///
/// `[has failed, is a JobError, 0, 0] [status 4] [rank 4] [0 4] [host 64] [message 2048]`; texts end at a zero byte.
private struct Verdict {
    static let hostByteCount = 64
    static let textByteCount = 2048
    static let byteCount = 16 + hostByteCount + textByteCount

    private(set) var bytes: [UInt8]

    init(bytes: [UInt8] = [UInt8](repeating: 0, count: Self.byteCount)) {
        self.bytes = bytes
    }

    mutating func write(_ error: any Error, status: Int32, rank: Int) {
        // If `body` has agreed on this error already, it keeps the rank and the host of that agreement.
        let known = error as? AgreedError
        bytes[0] = 1
        bytes[1] = known?.isOfJob ?? (error is any JobError) ? 1 : 0
        store(known?.status ?? status, at: 4)
        store(Int32(truncatingIfNeeded: known?.rank ?? rank), at: 8)
        store(known?.host ?? hostName(), at: 16, limit: Self.hostByteCount)
        store(known?.message ?? "\(error)", at: 16 + Self.hostByteCount, limit: Self.textByteCount)
    }

    func error(groupSize: Int) -> AgreedError? {
        guard bytes.count == Self.byteCount, bytes[0] != 0 else { return nil }
        return AgreedError(
            rank: Int(integer(at: 8)), host: text(at: 16, limit: Self.hostByteCount),
            message: text(at: 16 + Self.hostByteCount, limit: Self.textByteCount), status: integer(at: 4),
            groupSize: groupSize, isOfJob: bytes[1] != 0)
    }

    private mutating func store(_ value: Int32, at offset: Int) {
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: value, toByteOffset: offset, as: Int32.self) }
    }

    private func integer(at offset: Int) -> Int32 {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Int32.self) }
    }

    private mutating func store(_ text: String, at offset: Int, limit: Int) {
        // A long text is cut between characters, and leaves room for the final zero.
        var length = 0
        for character in text {
            let next = length + character.utf8.count
            guard next < limit else { break }
            length = next
        }
        for (index, byte) in text.utf8.prefix(length).enumerated() {
            bytes[offset + index] = byte
        }
    }

    private func text(at offset: Int, limit: Int) -> String {
        String(decoding: bytes[offset..<offset + limit].prefix { $0 != 0 }, as: UTF8.self)
    }
}

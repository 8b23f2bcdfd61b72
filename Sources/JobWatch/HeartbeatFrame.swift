/// One message of the heartbeat, which always has 32 bytes, so that a peer cannot make a reader wait for more.
///
/// `[kind, phase, cause, 0] [rank 4] [step 8] [milliseconds 8] [0 8]`; a hello and a welcome carry 16 bytes of the
/// token from offset 8 instead. Numbers are little-endian.
struct HeartbeatFrame: Equatable {
    static let byteCount = 32

    enum Kind: UInt8, CaseIterable {
        /// Tells rank 0 who the sender is, with the first half of the token.
        case hello = 1
        /// Answers a hello with the second half of the token, which proves that the sender is rank 0.
        case welcome
        /// Says that the sender is alive, and what it does.
        case beat
        /// Says that the sender ends well, and that its connection will close.
        case goodbye
        /// Says that the sender ends by an error of its own, which it reports itself.
        case failing
        /// Says, from rank 0, which rank was the first to end by an error of its own, so that none is reported as lost.
        case ending
        /// Says, from rank 0, which rank was lost.
        case lost
        /// Tells rank 0 that the sender was told to end the job.
        case interrupted
    }

    var kind: Kind
    var phase = Phase.starting
    var cause: UInt8 = 0
    var rank: Int
    var step: UInt64 = 0
    var milliseconds: UInt64 = 0
    /// Half of the token, only in a hello and a welcome.
    var token: [UInt8] = []

    var bytes: [UInt8] {
        var bytes = [kind.rawValue, phase.rawValue, cause, 0]
        bytes += Self.littleEndian(UInt32(truncatingIfNeeded: rank))
        if kind == .hello || kind == .welcome {
            bytes += token.prefix(16)
        } else {
            bytes += Self.littleEndian(step) + Self.littleEndian(milliseconds)
        }
        return bytes + [UInt8](repeating: 0, count: Self.byteCount - bytes.count)
    }

    init(kind: Kind, rank: Int) {
        self.kind = kind
        self.rank = rank
    }

    /// Reads a frame; nil if the bytes are none.
    init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount, let kind = Kind(rawValue: bytes[0]), let phase = Phase(rawValue: bytes[1])
        else { return nil }
        self.kind = kind
        self.phase = phase
        cause = bytes[2]
        rank = Int(Self.number(bytes[4..<8]))
        if kind == .hello || kind == .welcome {
            token = Array(bytes[8..<24])
        } else {
            step = Self.number(bytes[8..<16])
            milliseconds = Self.number(bytes[16..<24])
        }
    }

    private static func littleEndian<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// The sizes that a run is planned for; every buffer follows from them.
public struct StepLimits: Equatable, Sendable {
    /// Tokens in one step, all sequences together.
    public var tokenCount: Int
    /// Sequences at a time.
    public var sequenceCount: Int
    /// The longest sequence, prompt and new tokens together.
    public var sequenceLength: Int

    /// Rows of logits computed and sent to rank 0 at a time.
    public static let logitRows = 32
    /// Tokens of a prompt whose attention is computed together.
    public static let attentionTile = 16

    public init(tokenCount: Int, sequenceCount: Int, sequenceLength: Int) {
        self.tokenCount = max(tokenCount, sequenceCount)
        self.sequenceCount = sequenceCount
        self.sequenceLength = sequenceLength
    }
}

/// Blocks of the key-value cache that a sequence of a length takes.
public func cacheBlockCount(forLength length: Int, blockLength: Int) -> Int {
    (length + blockLength - 1) / blockLength
}

/// A place for a sequence, reused when the sequence has been released.
public struct SequenceID: Hashable, Sendable {
    public let slot: Int

    public init(slot: Int) {
        self.slot = slot
    }
}

/// Which positions of a chunk give logits.
public enum ChunkOutput: Int32, Sendable {
    case none = 0
    /// After the last token.
    case last = 1
    /// After every token.
    case all = 2
}

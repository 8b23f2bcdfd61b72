/// The sizes that a run is planned for, which determine the size of every buffer.
public struct StepLimits: Equatable, Sendable {
    /// The largest number of tokens per step, over all sequences.
    public var tokenCount: Int
    /// The largest number of concurrent sequences.
    public var sequenceCount: Int
    /// The largest number of tokens per sequence, prompt and new tokens together.
    public var sequenceLength: Int

    /// The number of rows of logits that are computed and sent to rank 0 at once.
    public static let logitRows = 32
    /// The number of tokens of a chunk whose attention is computed together.
    public static let attentionTile = 16

    public init(tokenCount: Int, sequenceCount: Int, sequenceLength: Int) {
        self.tokenCount = max(tokenCount, sequenceCount)
        self.sequenceCount = sequenceCount
        self.sequenceLength = sequenceLength
    }
}

/// The number of key-value cache blocks that a sequence of a length needs.
public func cacheBlockCount(forLength length: Int, blockLength: Int) -> Int {
    (length + blockLength - 1) / blockLength
}

/// The slot of a sequence, which is reused after the sequence has been released.
public struct SequenceID: Hashable, Sendable {
    public let slot: Int

    public init(slot: Int) {
        self.slot = slot
    }
}

/// The positions of a chunk that give logits.
public enum ChunkOutput: Int32, Sendable {
    case none = 0
    /// Only the last token gives logits.
    case last = 1
    /// Every token gives logits.
    case all = 2
}

import Collectives

/// Everything that the other ranks must know in order to run the same step as rank 0.
///
/// One buffer is reused, so that a step sends no more than it needs and allocates nothing. It consists of 32-bit words
/// in the machine's byte order, which ranks compare at the start. The header has eight words: version, kind, number of
/// chunks, number of releases, total number of words, whether the step is traced, and two spare ones. The slots to
/// release follow, and then each chunk as slot, first position, token count, prompt length, output, and its tokens.
public final class StepMessage {
    /// The action that a message announces.
    public enum Kind: Int32, Sendable {
        case step = 1
        case stop = 2
        /// All ranks run the task that each was given beforehand (`RankRunner.onAside`).
        case aside = 3
    }

    private static let version: Int32 = 2
    private static let headerWords = 8
    private static let chunkWords = 5
    /// The number of words of the first broadcast, into which most decode steps fit.
    private static let firstWords = 64

    private let words: UnsafeMutablePointer<Int32>
    private let capacity: Int
    private var used = headerWords

    public init(limits: StepLimits) {
        capacity = max(
            Self.firstWords,
            Self.headerWords + limits.tokenCount + limits.sequenceCount * (Self.chunkWords + 1))
        words = .allocate(capacity: capacity)
        words.initialize(repeating: 0, count: capacity)
    }

    deinit {
        words.deallocate()
    }

    public var kind: Kind? { Kind(rawValue: words[1]) }
    public var chunkCount: Int { Int(words[2]) }
    public var releaseCount: Int { Int(words[3]) }
    /// Whether the ranks trace this step.
    public var isTraced: Bool {
        get { words[5] != 0 }
        set { words[5] = newValue ? 1 : 0 }
    }
    /// The number of tokens of all chunks.
    public private(set) var tokenCount = 0

    /// Starts a new message.
    ///
    /// Add releases first, then chunks.
    public func begin(_ kind: Kind) {
        for word in 0..<Self.headerWords { words[word] = 0 }
        words[0] = Self.version
        words[1] = kind.rawValue
        used = Self.headerWords
        tokenCount = 0
    }

    /// Adds the release of a sequence's blocks, which takes effect before the step's chunks.
    public func addRelease(_ sequence: SequenceID) {
        precondition(chunkCount == 0 && used < capacity)
        words[used] = Int32(sequence.slot)
        used += 1
        words[3] += 1
    }

    /// Adds consecutive tokens of one sequence.
    ///
    /// - Parameter promptLength: the length of the prompt that began the sequence, on which angles may depend.
    public func addChunk(
        _ sequence: SequenceID, firstPosition: Int, tokens: ArraySlice<Int32>, promptLength: Int, output: ChunkOutput
    ) {
        precondition(used + Self.chunkWords + tokens.count <= capacity)
        words[used] = Int32(sequence.slot)
        words[used + 1] = Int32(firstPosition)
        words[used + 2] = Int32(tokens.count)
        words[used + 3] = Int32(promptLength)
        words[used + 4] = output.rawValue
        used += Self.chunkWords
        for token in tokens {
            words[used] = token
            used += 1
        }
        words[2] += 1
        tokenCount += tokens.count
    }

    /// A view of a chunk in the buffer.
    public struct Chunk {
        public let sequence: SequenceID
        public let firstPosition: Int
        public let tokens: UnsafeBufferPointer<Int32>
        public let promptLength: Int
        public let output: ChunkOutput
    }

    public func release(at index: Int) -> SequenceID {
        SequenceID(slot: Int(words[Self.headerWords + index]))
    }

    /// Calls `body` with each chunk.
    public func forEachChunk(_ body: (Chunk) -> Void) {
        var at = Self.headerWords + releaseCount
        for _ in 0..<chunkCount {
            let count = Int(words[at + 2])
            guard let output = ChunkOutput(rawValue: words[at + 4]) else {
                preconditionFailure("rank 0 asks for an output that does not exist")
            }
            body(
                Chunk(
                    sequence: SequenceID(slot: Int(words[at])), firstPosition: Int(words[at + 1]),
                    tokens: UnsafeBufferPointer(start: words + at + Self.chunkWords, count: count),
                    promptLength: Int(words[at + 3]), output: output))
            at += Self.chunkWords + count
        }
    }

    /// Makes every rank's message equal to rank 0's; the other ranks wait for it without a time limit.
    public func broadcast(over world: any Communicator) throws(CommunicationError) {
        words[4] = Int32(used)
        let first = min(capacity, Self.firstWords)
        try world.patiently { () throws(CommunicationError) in
            try world.broadcast(UnsafeMutableRawBufferPointer(start: words, count: first * 4), from: 0)
        }
        used = Int(words[4])
        guard words[0] == Self.version, kind != nil, (Self.headerWords...capacity).contains(used) else {
            throw .byteCountMismatch(operation: "step message", rank: world.rank, expected: capacity, found: used)
        }
        if used > first {
            try world.broadcast(UnsafeMutableRawBufferPointer(start: words + first, count: (used - first) * 4), from: 0)
        }
        guard world.rank != 0 else { return }
        tokenCount = used - Self.headerWords - releaseCount - chunkCount * Self.chunkWords
    }
}

import Collectives

/// All that the other ranks must know in order to take the same step as rank 0.
///
/// One buffer, reused: a step sends no more than it needs and allocates nothing. Words of 32 bits, in the byte order of
/// the machine (ranks compare it at the start): version, kind, chunks, releases, words in all, three spare; the slots
/// to release; then each chunk as slot, first position, token count, output, and its tokens.
public final class StepMessage {
    /// What the ranks do.
    public enum Kind: Int32, Sendable {
        case step = 1
        case stop = 2
        /// All ranks run the task that each was given beforehand (`RankRunner.onAside`).
        case aside = 3
    }

    private static let version: Int32 = 1
    private static let headerWords = 8
    private static let chunkWords = 4
    /// Words of the first broadcast; most decode steps fit.
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
    /// Whether the ranks print what this step does.
    public var isTraced: Bool {
        get { words[5] != 0 }
        set { words[5] = newValue ? 1 : 0 }
    }
    /// Tokens of all chunks.
    public private(set) var tokenCount = 0

    /// Starts over.
    ///
    /// Releases come first, then chunks.
    public func begin(_ kind: Kind) {
        for word in 0..<Self.headerWords { words[word] = 0 }
        words[0] = Self.version
        words[1] = kind.rawValue
        used = Self.headerWords
        tokenCount = 0
    }

    /// Frees a sequence's blocks, before the step's chunks.
    public func addRelease(_ sequence: SequenceID) {
        precondition(chunkCount == 0 && used < capacity)
        words[used] = Int32(sequence.slot)
        used += 1
        words[3] += 1
    }

    /// Consecutive tokens of one sequence.
    public func addChunk(_ sequence: SequenceID, firstPosition: Int, tokens: ArraySlice<Int32>, output: ChunkOutput) {
        precondition(used + Self.chunkWords + tokens.count <= capacity)
        words[used] = Int32(sequence.slot)
        words[used + 1] = Int32(firstPosition)
        words[used + 2] = Int32(tokens.count)
        words[used + 3] = output.rawValue
        used += Self.chunkWords
        for token in tokens {
            words[used] = token
            used += 1
        }
        words[2] += 1
        tokenCount += tokens.count
    }

    /// A chunk as it lies in the buffer.
    public struct Chunk {
        public let sequence: SequenceID
        public let firstPosition: Int
        public let tokens: UnsafeBufferPointer<Int32>
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
            guard let output = ChunkOutput(rawValue: words[at + 3]) else {
                preconditionFailure("rank 0 asks for an output that does not exist")
            }
            body(
                Chunk(
                    sequence: SequenceID(slot: Int(words[at])), firstPosition: Int(words[at + 1]),
                    tokens: UnsafeBufferPointer(start: words + at + Self.chunkWords, count: count),
                    output: output))
            at += Self.chunkWords + count
        }
    }

    /// Makes every rank's message equal to rank 0's, which may come at any time.
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

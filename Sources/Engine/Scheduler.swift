/// Decides what each step computes.
///
/// It is plain data, without a clock, tensors or ranks.
///
/// Decoding sequences come first, with one token each. The rest of the step's token budget goes to prompts, in pieces
/// if necessary. A sequence is admitted when the cache can hold its largest length, so none is ever preempted. A
/// sequence that even an empty cache could not hold is refused when it is added, and resting sequences make room for
/// waiting ones. So whenever there is a request, a step has something to compute.
///
/// It counts cache blocks in order to admit sequences; each rank's `BlockTable` assigns the blocks.
public struct Scheduler {
    /// Consecutive tokens of one sequence that a step computes.
    public struct Chunk: Equatable, Sendable {
        public let request: RequestID
        public let sequence: SequenceID
        public let firstPosition: Int
        public let tokens: ArraySlice<Int32>
        /// The length of the sequence's prompt.
        public let promptLength: Int
        public let output: ChunkOutput
    }

    private struct Running {
        let request: RequestID
        let sequence: SequenceID
        /// The known tokens: the prompt, then the drawn ones.
        var tokens: [Int32]
        /// The number of tokens whose keys and values are in the cache, counting the step that was handed out.
        var computed: Int
        /// The length of the prompt that began the sequence; tokens that are added later do not change it.
        let promptLength: Int
        let reserved: Int
        let wantsAll: Bool
    }

    private struct Waiting {
        let request: RequestID
        let tokens: [Int32]
        let length: Int
        let wantsAll: Bool
    }

    private let limits: StepLimits
    private let blockLength: Int
    private let blockCount: Int
    private var freeBlocks: Int
    private var freeSlots: [Int]
    private var waiting: [Waiting] = []
    private var running: [Running] = []
    /// Finished sequences that stay in the cache, so that requests can continue them.
    private var resting: [RequestID: Running] = [:]
    private var releases: [SequenceID] = []

    public init(limits: StepLimits, blockCount: Int, blockLength: Int) {
        self.limits = limits
        self.blockLength = blockLength
        self.blockCount = blockCount
        freeBlocks = blockCount
        freeSlots = (0..<limits.sequenceCount).reversed()
    }

    /// Whether there is anything to compute.
    public var isIdle: Bool { waiting.isEmpty && running.isEmpty }

    private func blockCount(forLength length: Int) -> Int {
        cacheBlockCount(forLength: length, blockLength: blockLength)
    }

    /// Puts a request at the end of the queue.
    ///
    /// - Parameter length: the largest number of prompt and new tokens together.
    /// - Throws: `empty`; `tooLong` for a sequence that even an empty cache could not hold.
    public mutating func add(
        _ request: RequestID, tokens: [Int32], length: Int, wantsAllLogits: Bool
    ) throws(RequestError) {
        try check(tokens, length: length)
        waiting.append(Waiting(request: request, tokens: tokens, length: length, wantsAll: wantsAllLogits))
    }

    /// Adds tokens to a finished sequence that stayed in the cache.
    ///
    /// - Parameter length: the largest number of known, added and new tokens together.
    /// - Throws: `notInCache` if it did not stay or if others leave no room for it to grow; `empty`; `tooLong`.
    public mutating func resume(
        _ request: RequestID, as next: RequestID, tokens: [Int32], length: Int
    ) throws(RequestError) {
        try check(tokens, length: length)
        guard var sequence = resting[request] else { throw .notInCache }
        let more = blockCount(forLength: length) - sequence.reserved
        guard more <= freeBlocks else { throw .notInCache }
        resting[request] = nil
        freeBlocks -= max(0, more)
        sequence.tokens += tokens
        running.append(
            Running(
                request: next, sequence: sequence.sequence, tokens: sequence.tokens, computed: sequence.computed,
                promptLength: sequence.promptLength,
                reserved: max(sequence.reserved, sequence.reserved + more), wantsAll: false))
    }

    private func check(_ tokens: [Int32], length: Int) throws(RequestError) {
        guard !tokens.isEmpty else { throw .empty }
        guard length <= limits.sequenceLength, blockCount(forLength: length) <= blockCount else {
            throw .tooLong(tokens: length, limit: min(limits.sequenceLength, blockCount * blockLength))
        }
    }

    /// The length of the prompt that began a sequence which stayed in the cache.
    public func promptLength(of request: RequestID) -> Int? { resting[request]?.promptLength }

    /// The known tokens of a sequence that stayed in the cache.
    public func restingTokens(of request: RequestID) -> [Int32]? { resting[request]?.tokens }

    /// Hands out the next step: first the sequences that every rank must release, then the chunks.
    public mutating func nextStep(release: (SequenceID) -> Void, _ handOut: (Chunk) -> Void) {
        admit()
        for sequence in releases { release(sequence) }
        releases.removeAll(keepingCapacity: true)
        var budget = limits.tokenCount
        // Decoding sequences have one token left and come first. Prompts follow in order of arrival.
        for isDecoding in [true, false] {
            for index in running.indices {
                let left = running[index].tokens.count - running[index].computed
                guard budget > 0, (left == 1) == isDecoding, left > 0 else { continue }
                let count = min(left, budget)
                let range = running[index].computed..<running[index].computed + count
                let output: ChunkOutput =
                    running[index].wantsAll ? .all : range.upperBound == running[index].tokens.count ? .last : .none
                handOut(
                    Chunk(
                        request: running[index].request, sequence: running[index].sequence,
                        firstPosition: range.lowerBound,
                        tokens: running[index].tokens[range], promptLength: running[index].promptLength,
                        output: output))
                running[index].computed += count
                budget -= count
            }
        }
    }

    /// Appends a token that was drawn for a request.
    public mutating func record(_ token: Int32, for request: RequestID) {
        guard let index = running.firstIndex(where: { $0.request == request }) else { return }
        running[index].tokens.append(token)
    }

    /// Ends a request in any state, and frees its cache blocks unless it stays in the cache.
    public mutating func finish(_ request: RequestID, staysInCache: Bool) {
        waiting.removeAll { $0.request == request }
        let rested = resting.removeValue(forKey: request)
        var ended = rested
        if let index = running.firstIndex(where: { $0.request == request }) { ended = running.remove(at: index) }
        guard let ended else { return }
        if staysInCache {
            resting[request] = ended
        } else {
            free(ended)
        }
    }

    private mutating func free(_ sequence: Running) {
        releases.append(sequence.sequence)
        freeSlots.append(sequence.sequence.slot)
        freeBlocks += sequence.reserved
    }

    private mutating func admit() {
        while let next = waiting.first {
            let reserved = blockCount(forLength: next.length)
            // Resting sequences make room, the oldest first.
            while freeSlots.isEmpty || reserved > freeBlocks,
                let oldest = resting.keys.min(by: { $0.rawValue < $1.rawValue }),
                let rested = resting.removeValue(forKey: oldest)
            {
                free(rested)
            }
            guard let slot = freeSlots.last, reserved <= freeBlocks else { return }
            waiting.removeFirst()
            freeSlots.removeLast()
            freeBlocks -= reserved
            var tokens = next.tokens
            tokens.reserveCapacity(next.length)
            running.append(
                Running(
                    request: next.request, sequence: SequenceID(slot: slot), tokens: tokens, computed: 0,
                    promptLength: next.tokens.count, reserved: reserved, wantsAll: next.wantsAll))
        }
    }
}

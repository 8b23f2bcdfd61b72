import Collectives
import Hashing
import Layers
import Models
import Sampling

/// Rank 0's side of the runtime, which takes requests, decides the steps and draws the tokens.
///
/// The other ranks follow its messages (`RankRunner.follow`).
public final class Engine {
    public let runner: RankRunner
    /// Times of the steps so far, separately for prefill and decode.
    public private(set) var statistics = Statistics()

    /// Times of steps of one kind.
    public struct StepTimes: Sendable {
        public var steps = 0
        /// The tokens computed in prefill, or drawn in decode.
        public var tokens = 0
        public var total: Duration = .zero
        public var wait: Duration = .zero
        public var transfer: Duration = .zero

        public init() {}
    }

    /// Times of all steps.
    public struct Statistics: Sendable {
        public var prefill = StepTimes()
        public var decode = StepTimes()
    }

    /// A request that has not ended.
    ///
    /// It is a class, so that a draw updates the sampler's counts in place.
    private final class Active {
        let request: Request
        /// The tokens that were in the cache before the request's own.
        let history: [Int32]
        /// The sampler, created at the first draw.
        ///
        /// It is as large as the vocabulary, and many requests of a batch may be waiting.
        var sampler: Sampler?
        var newTokens = 0

        init(request: Request, history: [Int32]) {
            self.request = request
            self.history = history
        }
    }

    private var scheduler: Scheduler
    private let message: StepMessage
    private var active: [RequestID: Active] = [:]
    private var nextID = 0
    private var chunks: [Chunk] = []
    private var failure: LogitsNotFinite?
    /// Whether the step of a number, from 1, is traced.
    public var isTraced: (Int) -> Bool = { _ in false }
    /// The number of steps taken so far.
    public var stepCount: Int { runner.stepCount }

    /// A chunk of the current step.
    private struct Chunk {
        let request: RequestID
        let firstPosition: Int
        /// Whether every token gives logits, from which the prompt's log-probabilities follow.
        let givesAll: Bool
    }

    public init(runner: RankRunner, cacheBlockCount: Int, blockLength: Int) {
        self.runner = runner
        scheduler = Scheduler(limits: runner.limits, blockCount: cacheBlockCount, blockLength: blockLength)
        message = StepMessage(limits: runner.limits)
        chunks.reserveCapacity(runner.limits.sequenceCount)
    }

    /// Whether there is anything to compute.
    public var isIdle: Bool { scheduler.isIdle }

    /// Whether tokens can follow a request that stayed in the cache, with the bits of a prompt that holds all of them.
    ///
    /// They cannot if the longer prompt would have other rotary angles.
    public func canContinue(_ request: RequestID, addingTokens count: Int) -> Bool {
        guard let first = scheduler.promptLength(of: request), let known = scheduler.restingTokens(of: request) else {
            return false
        }
        return runner.decoder.configuration.rotations.allSatisfy { rotation in
            guard let embedding = rotation?.embedding else { return true }
            return embedding.lengthClass(promptLength: first)
                == embedding.lengthClass(promptLength: known.count + count)
        }
    }

    /// The known tokens of a finished request that stayed in the cache; nil if it did not stay.
    public func tokens(inCacheOf request: RequestID) -> [Int32]? { scheduler.restingTokens(of: request) }

    /// Takes a request.
    ///
    /// The number of new tokens is limited to what the longest sequence has room for.
    ///
    /// - Parameter previous: a finished request that stayed in the cache; the request's tokens follow its tokens.
    /// - Throws: `RequestError` for a request that could never be computed.
    public func submit(_ request: Request, continuing previous: RequestID? = nil) throws(RequestError) -> RequestID {
        var request = request
        var history: [Int32] = []
        if let previous {
            guard let known = scheduler.restingTokens(of: previous) else { throw .notInCache }
            history = known
        }
        let limit = runner.limits.sequenceLength
        let known = history.count + request.promptTokens.count
        guard known < limit || (known == limit && request.maximumNewTokens == 0) else {
            throw .tooLong(tokens: known, limit: limit)
        }
        request.maximumNewTokens = min(request.maximumNewTokens, limit - known)
        let id = RequestID(rawValue: nextID)
        let length = known + request.maximumNewTokens
        if let previous {
            try scheduler.resume(previous, as: id, tokens: request.promptTokens, length: length)
        } else {
            try scheduler.add(
                id, tokens: request.promptTokens, length: length, wantsAllLogits: request.wantsPromptLogProbabilities)
        }
        nextID += 1
        active[id] = Active(request: request, history: history)
        return id
    }

    /// Ends a request early, such as at a stop string.
    public func cancel(_ id: RequestID, staysInCache: Bool = false) {
        active[id] = nil
        scheduler.finish(id, staysInCache: staysInCache)
    }

    /// Runs one step on all ranks, and passes its events to `handle`.
    public func step(_ handle: (Event) -> Void) throws {
        message.begin(.step)
        chunks.removeAll(keepingCapacity: true)
        var tokenCount = 0
        var drawn = 0
        scheduler.nextStep(release: message.addRelease) { chunk in
            message.addChunk(
                chunk.sequence, firstPosition: chunk.firstPosition, tokens: chunk.tokens,
                promptLength: chunk.promptLength, output: chunk.output)
            tokenCount += chunk.tokens.count
            chunks.append(
                Chunk(
                    request: chunk.request, firstPosition: chunk.firstPosition, givesAll: chunk.output == .all))
        }
        guard tokenCount > 0 || scheduler.isIdle else { throw StalledEngine() }
        message.isTraced = isTraced(runner.stepCount + 1)
        let context = runner.decoder.context
        let before = context.times
        let start = ContinuousClock.now
        let announced = StepTrace.now()
        try message.broadcast(over: context.world)
        try runner.take(message, announcedSince: announced) { place, logits in
            if take(logits, of: chunks[place.chunk], offset: place.offset, handle) { drawn += 1 }
        }
        let times = context.times
        let isDecode = drawn == tokenCount
        statistics.add(
            isDecode: isDecode, tokens: isDecode ? drawn : tokenCount, total: ContinuousClock.now - start,
            wait: times.wait - before.wait, transfer: times.transfer - before.transfer)
        if let failure { throw failure }
    }

    /// Has every rank run the task that it was given (`RankRunner.onAside`), all at the same time.
    public func runAside() throws {
        message.begin(.aside)
        try message.broadcast(over: runner.decoder.context.world)
        try runner.onAside()
    }

    /// Resets the times of the steps so far.
    public func resetStatistics() {
        statistics = Statistics()
    }

    /// Ends the other ranks' loops.
    public func stop() throws(CommunicationError) {
        message.begin(.stop)
        try message.broadcast(over: runner.decoder.context.world)
    }

    /// Handles one row of logits; returns whether a token was drawn from it.
    private func take(
        _ logits: UnsafeMutableBufferPointer<Float>, of chunk: Chunk, offset: Int, _ handle: (Event) -> Void
    ) -> Bool {
        guard let state = active[chunk.request] else { return false }
        let row = chunk.firstPosition + offset
        let readable = UnsafeBufferPointer(logits)
        guard logits.allSatisfy(\.isFinite) else {
            failure = LogitsNotFinite(step: runner.stepCount)
            return false
        }
        // Row i of a prompt gives the probability of its token i + 1. Tokens are drawn from the other rows: the last
        // one of a prompt and those of new tokens.
        if chunk.givesAll, row + 1 < state.request.promptTokens.count {
            let token = Int(state.request.promptTokens[row + 1])
            handle(
                .promptLogProbability(chunk.request, index: row + 1, value: logProbability(of: token, in: readable)))
            return false
        }
        guard state.newTokens < state.request.maximumNewTokens else {
            finish(chunk.request, .length, state.request, handle)
            return false
        }
        let top = state.request.topLogProbabilityCount.map { bestTokens($0, in: readable) } ?? []
        let digest = state.request.wantsDigests ? self.digest(of: readable) : nil
        // The sampler may write to the row, so it is copied if the drawn token's log-probability is wanted.
        let original = state.request.topLogProbabilityCount.map { _ in Array(readable) }
        let token = draw(from: logits, for: state)
        state.newTokens += 1
        handle(
            .token(
                chunk.request,
                GeneratedToken(
                    id: token,
                    logProbability: original.map { values in
                        values.withUnsafeBufferPointer { logProbability(of: Int(token), in: $0) }
                    },
                    top: top, digest: digest)))
        guard active[chunk.request] != nil else { return true }
        scheduler.record(token, for: chunk.request)
        if state.request.endTokens.contains(token) {
            finish(chunk.request, .stop, state.request, handle)
        } else if state.newTokens == state.request.maximumNewTokens {
            finish(chunk.request, .length, state.request, handle)
        }
        return true
    }

    private func draw(from logits: UnsafeMutableBufferPointer<Float>, for state: Active) -> Int32 {
        if state.sampler == nil {
            state.sampler = Sampler(
                parameters: state.request.sampling, seed: state.request.seed,
                promptTokens: state.history + state.request.promptTokens, vocabularySize: logits.count)
        }
        return state.sampler?.draw(from: logits) ?? 0
    }

    private func finish(_ id: RequestID, _ reason: FinishReason, _ request: Request, _ handle: (Event) -> Void) {
        active[id] = nil
        scheduler.finish(id, staysInCache: request.staysInCache)
        handle(.finished(id, reason))
    }

    /// The 64-bit FNV-1a hash of the bits of the logits, taken as words of 32 bits.
    private func digest(of logits: UnsafeBufferPointer<Float>) -> UInt64 {
        var hash = FNV1a()
        for logit in logits { hash.add(logit.bitPattern) }
        return hash.value
    }
}

/// The logits of a step are not finite numbers, so that no token can be drawn.
public struct LogitsNotFinite: Error, Equatable, CustomStringConvertible {
    /// The number of the step.
    public let step: Int

    public var description: String {
        "step \(step) gave logits that are not finite numbers; a weight or scale of the checkpoint may be damaged"
    }
}

/// An error for a step that computes nothing although requests wait, so that a defect does not loop for ever.
struct StalledEngine: Error, CustomStringConvertible {
    let description = "requests wait, but none can be computed; this is a defect, please report it"
}

extension Engine.Statistics {
    mutating func add(isDecode: Bool, tokens: Int, total: Duration, wait: Duration, transfer: Duration) {
        func add(to times: inout Engine.StepTimes) {
            times.steps += 1
            times.tokens += tokens
            times.total += total
            times.wait += wait
            times.transfer += transfer
        }
        if isDecode { add(to: &decode) } else { add(to: &prefill) }
    }
}

import Engine
import Sampling
import Tokenization

/// The options of a run, which apply to all its prompts.
public struct GenerationOptions: Sendable {
    public var maximumTokens: Int
    public var sampling: SamplingParameters
    public var seed: UInt64
    public var stops: [String]
    public var ignoresEnd: Bool
    /// The number of outputs for each prompt.
    public var outputCount: Int
    /// The number of most probable tokens to report with each new token; nil: no log-probabilities.
    public var topLogProbabilityCount: Int?
    public var wantsPromptLogProbabilities: Bool
    public var wantsDigests: Bool

    public init(
        maximumTokens: Int = 128, sampling: SamplingParameters = SamplingParameters(), seed: UInt64 = 0,
        stops: [String] = [],
        ignoresEnd: Bool = false, outputCount: Int = 1, topLogProbabilityCount: Int? = nil,
        wantsPromptLogProbabilities: Bool = false, wantsDigests: Bool = false
    ) {
        self.maximumTokens = maximumTokens
        self.sampling = sampling
        self.seed = seed
        self.stops = stops
        self.ignoresEnd = ignoresEnd
        self.outputCount = outputCount
        self.topLogProbabilityCount = topLogProbabilityCount
        self.wantsPromptLogProbabilities = wantsPromptLogProbabilities
        self.wantsDigests = wantsDigests
    }
}

/// One continuation of a prompt.
public struct GenerationOutput: Sendable {
    public var tokens: [GeneratedToken] = []
    public var text = ""
    public var finishReason: FinishReason?
}

/// A prompt's results.
public struct GenerationResult: Sendable {
    public let promptTokens: [Int32]
    /// The log-probability of each prompt token; nil for the first, because nothing comes before it.
    ///
    /// The array is empty if they were not requested.
    public var promptLogProbabilities: [Float?]
    public var outputs: [GenerationOutput]
}

/// Generates text with the engine, which works on token ids.
public final class Generator {
    private let engine: Engine
    private let tokenizer: Tokenizer?
    private let endTokens: Set<Int32>
    /// The time from the start of the last run to its first token.
    public private(set) var timeToFirstToken: Duration?

    /// - Parameters:
    ///   - tokenizer: the model's tokenizer; nil if it has none, so that no text is produced.
    ///   - endTokens: tokens that end a sequence.
    public init(engine: Engine, tokenizer: Tokenizer?, endTokens: Set<Int32>) {
        self.engine = engine
        self.tokenizer = tokenizer
        self.endTokens = endTokens
    }

    /// A request's place in the results, and the state of its text.
    private struct Live {
        let prompt: Int
        let output: Int
        var stream: DetokenizerStream?
        var matcher: StopMatcher
    }

    /// Runs all prompts together.
    ///
    /// - Parameters:
    ///   - onText: called with each piece of text as soon as it may be shown.
    ///   - onResult: called with a prompt's results as soon as all its outputs have ended.
    ///   - isInterrupted: called between steps; if it returns true, the run returns the results so far.
    ///   - continuing: the finished request in the cache that the prompt continues.
    ///   - keepsCache: whether requests stay in the cache; the id of the last one is returned.
    /// - Throws: `RequestError` before anything is computed if a prompt does not fit.
    public func run(
        prompts: [[Int32]], _ options: GenerationOptions, continuing: RequestID? = nil, keepsCache: Bool = false,
        onText: (_ prompt: Int, _ output: Int, _ text: String) -> Void = { _, _, _ in },
        onResult: (_ prompt: Int, GenerationResult) -> Void = { _, _ in }, isInterrupted: () -> Bool = { false }
    ) throws -> (results: [GenerationResult], kept: RequestID?) {
        var results = prompts.map { tokens in
            GenerationResult(
                promptTokens: tokens,
                promptLogProbabilities: options.wantsPromptLogProbabilities
                    ? Array(repeating: nil, count: tokens.count) : [],
                outputs: Array(repeating: GenerationOutput(), count: options.outputCount))
        }
        var live: [RequestID: Live] = [:]
        var last: RequestID?
        for (index, tokens) in prompts.enumerated() {
            for output in 0..<options.outputCount {
                let request = Request(
                    promptTokens: tokens, maximumNewTokens: options.maximumTokens, sampling: options.sampling,
                    // Every output of every prompt gets a seed of its own.
                    seed: options.seed &+ UInt64(index * options.outputCount + output),
                    endTokens: options.ignoresEnd ? [] : endTokens,
                    topLogProbabilityCount: options.topLogProbabilityCount,
                    wantsPromptLogProbabilities: options.wantsPromptLogProbabilities && output == 0,
                    wantsDigests: options.wantsDigests, staysInCache: keepsCache)
                let id = try engine.submit(request, continuing: continuing)
                last = id
                live[id] = Live(
                    prompt: index, output: output, stream: tokenizer?.makeStream(skippingSpecial: true),
                    matcher: StopMatcher(stops: options.stops))
            }
        }
        let start = ContinuousClock.now
        timeToFirstToken = nil
        while !engine.isIdle && !isInterrupted() {
            var stopped: [RequestID] = []
            try engine.step { event in
                switch event {
                case .promptLogProbability(let id, let index, let value):
                    guard let place = live[id] else { return }
                    results[place.prompt].promptLogProbabilities[index] = value
                case .token(let id, let token):
                    if timeToFirstToken == nil { timeToFirstToken = ContinuousClock.now - start }
                    guard var place = live[id] else { return }
                    results[place.prompt].outputs[place.output].tokens.append(token)
                    let piece = place.stream?.append(TokenID(token.id)) ?? ""
                    // The text of an end token is not shown, even if the token is not marked as special.
                    let isEnd = !options.ignoresEnd && endTokens.contains(token.id)
                    show(isEnd ? "" : place.matcher.append(piece), place, &results, onText)
                    live[id] = place
                    if place.matcher.isStopped { stopped.append(id) }
                case .finished(let id, let reason):
                    end(id, reason, &live, &results, onText, onResult)
                }
            }
            for id in stopped where live[id] != nil {
                engine.cancel(id, staysInCache: keepsCache)
                end(id, .stop, &live, &results, onText, onResult)
            }
        }
        return (results, keepsCache ? last : nil)
    }

    private func show(
        _ text: String, _ place: Live, _ results: inout [GenerationResult], _ onText: (Int, Int, String) -> Void
    ) {
        guard !text.isEmpty else { return }
        results[place.prompt].outputs[place.output].text += text
        onText(place.prompt, place.output, text)
    }

    private func end(
        _ id: RequestID, _ reason: FinishReason, _ live: inout [RequestID: Live], _ results: inout [GenerationResult],
        _ onText: (Int, Int, String) -> Void, _ onResult: (Int, GenerationResult) -> Void
    ) {
        guard var place = live.removeValue(forKey: id) else { return }
        if !place.matcher.isStopped, let rest = place.stream?.finish() {
            show(place.matcher.append(rest), place, &results, onText)
        }
        show(place.matcher.finish(), place, &results, onText)
        results[place.prompt].outputs[place.output].finishReason = reason
        if results[place.prompt].outputs.allSatisfy({ $0.finishReason != nil }) {
            onResult(place.prompt, results[place.prompt])
        }
    }
}

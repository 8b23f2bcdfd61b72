import Engine
import Sampling
import Tokenization

/// What is asked for, for every prompt of a run.
public struct GenerationOptions: Sendable {
    public var maximumTokens: Int
    public var sampling: SamplingParameters
    public var seed: UInt64
    public var stops: [String]
    public var ignoresEnd: Bool
    /// Outputs for each prompt.
    public var outputCount: Int
    /// Best tokens to report with each new one; nil: none.
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
    /// The first is nil: nothing comes before it.
    public var promptLogProbabilities: [Float?]
    public var outputs: [GenerationOutput]
}

/// Text in, text out, over the engine's token numbers.
public final class Generator {
    private let engine: Engine
    private let tokenizer: Tokenizer?
    private let endTokens: Set<Int32>
    /// Time from the start of the last run to its first token.
    public private(set) var timeToFirstToken: Duration?

    /// - Parameters:
    ///   - tokenizer: nil for a model without one; prompts are then token numbers and no text is made.
    ///   - endTokens: tokens that end a sequence.
    public init(engine: Engine, tokenizer: Tokenizer?, endTokens: Set<Int32>) {
        self.engine = engine
        self.tokenizer = tokenizer
        self.endTokens = endTokens
    }

    /// A request's place among the results, and the text that it is becoming.
    private struct Live {
        let prompt: Int
        let output: Int
        var stream: DetokenizerStream?
        var matcher: StopMatcher
    }

    /// Runs all prompts together.
    ///
    /// - Parameters:
    ///   - onText: pieces of text as they can be shown: prompt, output, text.
    ///   - onResult: a prompt whose outputs have all ended, as soon as that is so.
    ///   - isInterrupted: looked at between steps; what is there so far is returned when it says so.
    ///   - continuing: the finished request whose cache the first prompt continues.
    ///   - keepsCache: whether the last request stays in the cache; its number is returned.
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
                    // Outputs of one prompt differ; prompts of one run do too.
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
                    // An end token's own text is not shown, even where it is not marked as special.
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

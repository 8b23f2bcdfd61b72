import Glibc

/// Draws tokens for one sequence; owns its repeatable random source and its counts of seen tokens.
///
/// The order is vLLM's: penalties, temperature, min-p, top-k, and top-p over the rest. A draw allocates nothing.
public struct Sampler: Sendable {
    private let parameters: SamplingParameters
    private let vocabularySize: Int
    private var random: RandomSource
    private var history: TokenHistory?
    private var candidates: CandidateHeap?

    /// Starts a sequence.
    ///
    /// Ids in the prompt that are outside the vocabulary are ignored.
    ///
    /// The parameters must have passed `validate()`.
    public init(parameters: SamplingParameters, seed: UInt64, promptTokens: [Int32], vocabularySize: Int) {
        precondition(vocabularySize > 0, "a vocabulary has tokens")
        self.parameters = parameters
        self.vocabularySize = vocabularySize
        random = RandomSource(seed: seed)
        if parameters.hasPenalties {
            history = TokenHistory(promptTokens: promptTokens, vocabularySize: vocabularySize)
        }
        if parameters.temperature > 0, parameters.candidateLimit != nil || parameters.topP < 1 {
            candidates = CandidateHeap(capacity: vocabularySize)
        }
    }

    /// Draws a token from one row of logits `[vocabulary]`, which it may overwrite, and records the token.
    ///
    /// A token whose logit is NaN cannot be drawn. If no token can be drawn, the result is 0.
    public mutating func draw(from logits: UnsafeMutableBufferPointer<Float>) -> Int32 {
        precondition(logits.count == vocabularySize, "a row of logits is as long as the vocabulary")
        history?.penalize(logits, parameters)
        let best = bestToken(in: UnsafeBufferPointer(logits))
        let drawn = parameters.temperature > 0 ? sample(logits, best) : best
        history?.record(Int32(drawn))
        return Int32(drawn)
    }

    private mutating func sample(_ logits: UnsafeMutableBufferPointer<Float>, _ best: Int) -> Int {
        let highest = logits[best]
        // If the best logit is infinite or nothing can be drawn, there are no probabilities.
        guard highest.isFinite else { return best }
        let temperature = Double(parameters.temperature)
        // With log(minP), the test p ≥ minP · p(best) compares logits; minus infinity keeps all tokens.
        let lowest = log(Double(parameters.minP))
        // w = exp((logit − highest) / temperature) is proportional to the probability.
        func weight(_ logit: Float) -> Double { exp((Double(logit) - Double(highest)) / temperature) }
        func isCandidate(_ logit: Float) -> Bool {
            (Double(logit) - Double(highest)) / temperature >= lowest && logit > -.infinity
        }

        guard candidates != nil else {
            var total = 0.0
            for logit in logits where isCandidate(logit) { total += weight(logit) }
            var left = random.nextUnit() * total
            var last = best
            for id in 0..<logits.count where isCandidate(logits[id]) {
                last = id
                left -= weight(logits[id])
                if left < 0 { break }
            }
            return last
        }
        candidates?.fill(from: UnsafeBufferPointer(logits), where: isCandidate)
        return candidates?.draw(
            limit: parameters.candidateLimit, topP: Double(parameters.topP), random.nextUnit(), weight: weight) ?? best
    }
}

/// The tokens of a sequence, and how often each occurs in the output.
private struct TokenHistory: Sendable {
    private var outputCounts: [Int32]
    private var isSeen: [Bool]
    /// The distinct seen tokens, so that a draw need not scan the whole vocabulary.
    private var seen: [Int32] = []

    init(promptTokens: [Int32], vocabularySize: Int) {
        outputCounts = [Int32](repeating: 0, count: vocabularySize)
        isSeen = [Bool](repeating: false, count: vocabularySize)
        seen.reserveCapacity(vocabularySize)
        for token in promptTokens where isSeen.indices.contains(Int(token)) { note(token) }
    }

    private mutating func note(_ token: Int32) {
        if isSeen[Int(token)] { return }
        isSeen[Int(token)] = true
        seen.append(token)
    }

    mutating func record(_ token: Int32) {
        note(token)
        outputCounts[Int(token)] += 1
    }

    func penalize(_ logits: UnsafeMutableBufferPointer<Float>, _ parameters: SamplingParameters) {
        for token in seen {
            var logit = logits[Int(token)]
            logit = logit > 0 ? logit / parameters.repetitionPenalty : logit * parameters.repetitionPenalty
            let count = outputCounts[Int(token)]
            if count > 0 { logit -= parameters.presencePenalty + parameters.frequencyPenalty * Float(count) }
            logits[Int(token)] = logit
        }
    }
}

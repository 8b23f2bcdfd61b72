import Glibc

/// Draws tokens for one sequence; owns its repeatable random source and its counts of seen tokens.
///
/// The order of work is vLLM's: penalties, temperature, min-p, top-k, top-p over what is left. A draw allocates nothing.
public struct Sampler: Sendable {
    private let parameters: SamplingParameters
    private let vocabularySize: Int
    private var random: RandomSource
    private var history: TokenHistory?
    private var candidates: CandidateHeap?

    /// Starts a sequence.
    ///
    /// Numbers in the prompt that the vocabulary does not have are passed over.
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

    /// Takes one row of logits (float32, vocabulary long), may scribble on it, returns the drawn id and records it.
    ///
    /// NaN counts as a token that cannot be drawn. If no token can, the answer is 0.
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
        // Also where the best is infinite or nothing can be drawn: there are no probabilities then.
        guard highest.isFinite else { return best }
        let temperature = Double(parameters.temperature)
        // log(minP), so that p ≥ minP · p(best) is a comparison of logits; minus infinity keeps all.
        let lowest = log(Double(parameters.minP))
        // w = exp((logit − highest) / temperature), the probability but for a factor.
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

/// Which tokens a sequence has seen, and how often it has made each.
private struct TokenHistory: Sendable {
    private var outputCounts: [Int32]
    private var isSeen: [Bool]
    /// The seen tokens once each, so that a draw need not look at the whole vocabulary.
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

import Foundation
import Sampling
import Testing

/// Draws from a copy of the logits, because a draw may overwrite them.
private func draw(_ sampler: inout Sampler, _ logits: [Float]) -> Int32 {
    var row = logits
    return row.withUnsafeMutableBufferPointer { sampler.draw(from: $0) }
}

private func draws(
    _ count: Int, _ logits: [Float], _ parameters: SamplingParameters, seed: UInt64 = 1, prompt: [Int32] = []
) -> [Int32] {
    var sampler = Sampler(parameters: parameters, seed: seed, promptTokens: prompt, vocabularySize: logits.count)
    return (0..<count).map { _ in draw(&sampler, logits) }
}

/// Logits whose probabilities at temperature 1 are 0.4, 0.3, 0.2, 0.1.
private let fourTokens: [Float] = [0.1, 0.4, 0.2, 0.3].map { log($0) }

@Suite struct SamplerTests {
    /// Draws 40,000 tokens.
    ///
    /// The expected count of a token with p is 40,000 p, with a deviation of √(40,000 p (1 − p)) < 100. With a bound of
    /// five deviations, a sound sampler fails for one seed in a million, and this seed is fixed.
    @Test(
        arguments: [
            (SamplingParameters(), [0.1, 0.4, 0.2, 0.3]),
            (SamplingParameters(temperature: 0.5), [1.0 / 30, 16.0 / 30, 4.0 / 30, 9.0 / 30]),
            (SamplingParameters(topK: 2), [0, 4.0 / 7, 0, 3.0 / 7]),
            (SamplingParameters(topP: 0.8), [0, 4.0 / 9, 2.0 / 9, 3.0 / 9]),
            // Of the three best, 0.4/0.9 + 0.3/0.9 exceeds 0.75: top-p counts what top-k left.
            (SamplingParameters(topK: 3, topP: 0.75), [0, 4.0 / 7, 0, 3.0 / 7]),
            (SamplingParameters(minP: 0.45), [0, 4.0 / 9, 2.0 / 9, 3.0 / 9]),
            // Weights are square roots. Relative to the best they are 0.5, 1, 0.707 and 0.866; one is below 0.6.
            (SamplingParameters(temperature: 2, minP: 0.6), [0, 0.38863, 0.27480, 0.33656]),
            (SamplingParameters(topK: 0), [0.1, 0.4, 0.2, 0.3]),
        ] as [(SamplingParameters, [Double])])
    func distribution(_ parameters: SamplingParameters, _ expected: [Double]) {
        var counts = [Int](repeating: 0, count: 4)
        for token in draws(40_000, fourTokens, parameters) { counts[Int(token)] += 1 }
        for (count, probability) in zip(counts, expected) {
            if probability == 0 {
                #expect(count == 0)
            } else {
                #expect(abs(Double(count) - 40_000 * probability) < 500)
            }
        }
    }

    @Test func filtersKeepExactlyWhatTheyShould() {
        let logits = (0..<1000).map { Float($0 * 7919 % 1000) / 100 }
        let best = logits.indices.sorted { logits[$0] > logits[$1] }
        let drawn = Set(draws(5_000, logits, SamplingParameters(temperature: 10, topK: 20)))
        #expect(drawn == Set(best.prefix(20).map { Int32($0) }))
    }

    @Test func tiesWithTheLastOfTopKStay() {
        #expect(Set(draws(500, [1, 3, 1, 1, 0], SamplingParameters(topK: 2))) == [0, 1, 2, 3])
        // If top-p cuts through a tie, the lower ids stay.
        #expect(Set(draws(500, [1, 1, 1, 1], SamplingParameters(topP: 0.5))) == [0, 1])
    }

    @Test func topPKeepsAtLeastOne() {
        #expect(Set(draws(100, fourTokens, SamplingParameters(topP: 0.001))) == [1])
        #expect(Set(draws(100, fourTokens, SamplingParameters(topK: 1))) == [1])
        #expect(Set(draws(100, fourTokens, SamplingParameters(minP: 1))) == [1])
    }

    @Test func greedyTakesTheLowestOfEquals() {
        #expect(draws(3, [1, 5, 5, 2], SamplingParameters(temperature: 0)) == [1, 1, 1])
        #expect(draws(1, [-3, -3], SamplingParameters(temperature: 0)) == [0])
    }

    @Test func theSeedDecides() {
        let logits = (0..<50).map { Float($0 % 7) }
        let first = draws(100, logits, SamplingParameters(topP: 0.9), seed: 7)
        #expect(first == draws(100, logits, SamplingParameters(topP: 0.9), seed: 7))
        #expect(first != draws(100, logits, SamplingParameters(topP: 0.9), seed: 8))
    }

    /// A copy of a sampler continues independently of the original.
    @Test func copiesAreIndependent() {
        var sampler = Sampler(
            parameters: SamplingParameters(presencePenalty: 0.5), seed: 3, promptTokens: [], vocabularySize: 4)
        _ = draw(&sampler, fourTokens)
        var copy = sampler
        let original = (0..<20).map { _ in draw(&sampler, fourTokens) }
        #expect(original == (0..<20).map { _ in draw(&copy, fourTokens) })
    }

    @Test func badLogitsNeitherCrashNorLoop() {
        let parameters = [
            SamplingParameters(), SamplingParameters(temperature: 0), SamplingParameters(topK: 2),
            SamplingParameters(topP: 0.5, minP: 0.1),
        ]
        for parameters in parameters {
            #expect(draws(2, [.nan, .nan], parameters) == [0, 0])
            #expect(draws(2, [-.infinity, -.infinity], parameters) == [0, 0])
            #expect(draws(2, [.nan, 1, .nan], parameters) == [1, 1])
            #expect(draws(2, [0, .infinity, .infinity], parameters) == [1, 1])
            #expect(draws(2, [-.infinity, -5, .nan], parameters) == [1, 1])
        }
    }
}

@Suite struct PenaltyTests {
    /// The penalized logits, which a greedy draw leaves in the row.
    private func penalized(
        _ logits: [Float], _ parameters: SamplingParameters, prompt: [Int32], output: [Int32]
    ) -> [Float] {
        var sampler = Sampler(parameters: parameters, seed: 1, promptTokens: prompt, vocabularySize: logits.count)
        for token in output {
            // This logit is far above any penalty, so that the token is drawn and recorded.
            var forced = [Float](repeating: 0, count: logits.count)
            forced[Int(token)] = 1e6
            #expect(draw(&sampler, forced) == token)
        }
        var row = logits
        _ = row.withUnsafeMutableBufferPointer { sampler.draw(from: $0) }
        return row
    }

    @Test func repetitionCountsPromptAndOutput() {
        let parameters = SamplingParameters(temperature: 0, repetitionPenalty: 2)
        #expect(penalized([4, -4, 4, -4, 0], parameters, prompt: [0, 1, 0], output: [3]) == [2, -8, 4, -8, 0])
    }

    @Test func presenceAndFrequencyCountOutputOnly() {
        let presence = SamplingParameters(temperature: 0, presencePenalty: 0.5)
        #expect(penalized([1, 1, 1], presence, prompt: [0], output: [1, 1]) == [1, 0.5, 1])
        let frequency = SamplingParameters(temperature: 0, frequencyPenalty: 0.25)
        #expect(penalized([1, 1, 1], frequency, prompt: [0], output: [1, 1, 2]) == [1, 0.5, 0.75])
    }

    /// Division comes first, then subtraction: 3 / 1.5 − 0.5 − 2 · 0.25.
    @Test func penaltiesAddUpInOrder() {
        let all = SamplingParameters(
            temperature: 0, repetitionPenalty: 1.5, presencePenalty: 0.5, frequencyPenalty: 0.25)
        #expect(penalized([3, 3, 3], all, prompt: [], output: [0, 0, 1]) == [1, 1.25, 3])
    }

    @Test func tokensOutsideOfTheVocabularyArePassedOver() {
        let parameters = SamplingParameters(temperature: 0, repetitionPenalty: 2)
        #expect(penalized([4, 4], parameters, prompt: [-1, 2, .max, 1], output: []) == [4, 2])
    }
}

@Suite struct LogProbabilityTests {
    @Test func logProbabilities() {
        fourTokens.withUnsafeBufferPointer { row in
            for (id, probability) in [0.1, 0.4, 0.2, 0.3].enumerated() {
                // The logit and the result are rounded once each.
                #expect(abs(logProbability(of: id, in: row) - Float(log(probability))) < 1e-6)
            }
        }
        // With 2¹⁷ equal tokens, a sum of exponentials in Float would be inaccurate, and large logits would overflow.
        [Float](repeating: 3000, count: 1 << 17).withUnsafeBufferPointer { row in
            #expect(logProbability(of: 5, in: row) == Float(-17 * log(2.0)))
        }
    }

    @Test func bestTokensComeInOrder() {
        let logits: [Float] = [1, .nan, 3, 2, 3, -.infinity]
        logits.withUnsafeBufferPointer { row in
            #expect(bestTokens(6, in: row).map(\.id) == [2, 4, 3, 0, 5, 1])
            #expect(bestTokens(0, in: row).isEmpty)
        }
        fourTokens.withUnsafeBufferPointer { row in
            let best = bestTokens(3, in: row)
            #expect(best.map(\.id) == [1, 3, 2])
            #expect(best.map(\.logProbability) == [1, 3, 2].map { logProbability(of: $0, in: row) })
            #expect(bestTokens(9, in: row).count == 4)
        }
    }
}

@Suite struct ParameterTests {
    @Test(arguments: [
        SamplingParameters(temperature: -1), SamplingParameters(temperature: .nan),
        SamplingParameters(temperature: .infinity), SamplingParameters(topK: -2), SamplingParameters(topP: 0),
        SamplingParameters(topP: 1.1), SamplingParameters(topP: .nan), SamplingParameters(minP: -0.1),
        SamplingParameters(minP: 2), SamplingParameters(repetitionPenalty: 0), SamplingParameters(presencePenalty: 2.5),
        SamplingParameters(frequencyPenalty: .nan),
    ])
    func refused(_ parameters: SamplingParameters) {
        #expect(throws: SamplingError.self) { try parameters.validate() }
    }

    @Test(arguments: [
        SamplingParameters(), SamplingParameters(temperature: 0), SamplingParameters(topK: -1),
        SamplingParameters(topK: 40, topP: 0.5, minP: 1, repetitionPenalty: 0.5, presencePenalty: -2),
    ])
    func accepted(_ parameters: SamplingParameters) throws {
        try parameters.validate()
    }

    @Test func saysWhatIsWrong() {
        let error = SamplingError.outOfRange(parameter: "top-k", value: "-2", allowed: "1 or more, or 0 or -1 for all")
        #expect(throws: error) {
            try SamplingParameters(topK: -2).validate()
        }
    }
}

import Foundation
import TestSupport
import Testing

/// The embedded model on a short text; the whole text and the other formats are too long for every run.
@Suite(.serialized) struct PerplexityTests {
    struct Score: Decodable {
        let perplexity: Double
        let mean_nll: Double
        let scored_tokens: Int
        let tokens_per_s: Double
    }

    static let text = "\(ProgramRun.repositoryPath)/Tests/Golden/text/eval-20k.txt"
    static let model = "\(ProgramRun.repositoryPath)/Models/tale-23m"

    private func score(_ arguments: [String], ranks: Int? = nil) throws -> Score {
        let outcome = try ProgramRun.run(
            "evaluate",
            ["perplexity", "--model", Self.model, "--text", Self.text, "--format", "json", "--log-level", "error"]
                + arguments,
            ranks: ranks)
        try #require(outcome.status == 0, "\(outcome.errors)")
        return try outcome.json()
    }

    @Test func theEmbeddedModelPredictsAsWellAsItsOriginal() throws {
        // Tests/Golden/text/README.md says how this was computed.
        let original = 19.2658
        let found = try score([])
        #expect(found.scored_tokens == 9 * 511)
        #expect(abs(found.perplexity / original - 1) < 0.005, "\(found.perplexity)")
        #expect(abs(exp(found.mean_nll) - found.perplexity) < 1e-9 && found.tokens_per_s > 0)
    }

    @Test func twoRanksScoreTheSame() throws {
        let whole = try score(["--window", "128", "--limit", "4"])
        let divided = try score(["--window", "128", "--limit", "4"], ranks: 2)
        #expect(whole.scored_tokens == 4 * 127)
        #expect(whole.mean_nll.bitPattern == divided.mean_nll.bitPattern, "\(whole.mean_nll), \(divided.mean_nll)")
    }
}

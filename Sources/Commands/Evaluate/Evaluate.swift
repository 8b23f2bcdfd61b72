import ArgumentParser
import Bootstrap
import Foundation
import Generation
import ModelOptions
import ProgramEntry
import Tokenization

@main struct Launcher {
    static func main() { Evaluate.start() }
}

struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate", abstract: "Measure how well a model predicts.", version: triremeVersion,
        subcommands: [Perplexity.self])

    func run() throws { throw ValidationError("Give a subcommand: perplexity.") }
}

struct Perplexity: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Perplexity of a text, in windows that do not overlap, each after one token of beginning.")

    @OptionGroup var modelArguments: ModelArguments

    @Option(help: "A file with the text, UTF-8; - is standard input.")
    var text: String

    @Option(parsing: .unconditional, help: "Tokens of a window, the first one included.")
    var window = 512

    @Option(parsing: .unconditional, help: "Windows at most.")
    var limit: Int?

    @Option(help: "text or json.")
    var format = "text"

    @OptionGroup var outputArguments: OutputArguments

    mutating func validate() throws {
        guard window >= 2 else { throw ValidationError("--window must be 2 or more, not \(window).") }
        guard limit ?? 1 >= 1 else { throw ValidationError("--limit must be 1 or more.") }
        guard format == "text" || format == "json" else {
            throw ValidationError("--format must be text or json, not '\(format)'.")
        }
    }

    func run() throws {
        withRank(
            modelArguments,
            prepare: { model, tokenizer in
                try outputArguments.begin()
                let windows = try windows(model: model, tokenizer: tokenizer)
                return (windows, RunNeeds(prompts: [window], newTokens: 0, limit: window, sequenceCount: windows.count))
            },
            body: { session, windows in
                let start = ContinuousClock.now
                var sum = 0.0
                var count = 0
                let options = GenerationOptions(maximumTokens: 0, wantsPromptLogProbabilities: true)
                _ = try session.makeGenerator().run(
                    prompts: windows, options,
                    onResult: { _, result in
                        for value in result.promptLogProbabilities.compactMap({ $0 }) {
                            sum -= Double(value)
                            count += 1
                        }
                    }, isInterrupted: { session.isInterrupted })
                return Score(sum: sum, count: count, duration: ContinuousClock.now - start)
            },
            report: { score, report in
                if report.wasInterrupted {
                    complain("interrupted after \(score.count) tokens")
                    return
                }
                if let reason = score.reasonForNoFigure { complain("the perplexity is no figure: \(reason)") }
                if format == "json" {
                    try printJSON(score)
                } else {
                    try writeOut(
                        "perplexity \(score.perplexity), mean negative log-likelihood \(score.mean), \(score.count) tokens, "
                            + "\((score.tokensPerSecond * 10).rounded() / 10) tokens/s\n")
                }
                try outputArguments.finish()
            })
    }

    private func windows(model: OpenedModel, tokenizer: ModelTokenizer) throws -> [[Int32]] {
        let bytes = try readRankInput(text)
        let longest = try modelArguments.lengthLimit(of: model)
        guard window <= longest else {
            throw RunError(
                .badInput,
                longest < model.decoder.positionLimit
                    ? "--window \(window) is beyond --max-model-len \(longest); lower the one or raise the other"
                    : "--window \(window) is beyond the \(longest) positions of \(model.name); lower it")
        }
        guard
            let begin = model.beginToken ?? tokenizer.value?.beginOfText.map({ Int($0.rawValue) })
                ?? model.endTokens.first
        else {
            throw RunError(
                .badInput,
                "\(model.name) has no token for the beginning or the end of a text; config.json should name one")
        }
        let tokens = try model.encode(bytes, from: text, tokenizer: tokenizer, isContinuation: true)
        let size = window - 1
        let count = min(tokens.count / size, limit ?? .max)
        guard count > 0 else {
            throw RunError(
                .badInput, "\(text) has \(tokens.count) tokens, less than one window of \(size); use a smaller --window"
            )
        }
        return (0..<count).map { [Int32(begin)] + tokens[$0 * size..<($0 + 1) * size] }
    }
}

/// The score of a text.
private struct Score: Encodable {
    let sum: Double
    let count: Int
    let duration: Duration

    var mean: Double { sum / Double(count) }
    var perplexity: Double { exp(mean) }
    var tokensPerSecond: Double { Double(count) / duration.seconds }

    /// Why the perplexity is infinite or not a number; nil if it is finite.
    var reasonForNoFigure: String? {
        if perplexity.isFinite { return nil }
        if mean.isNaN { return "a log-probability is not a number; the weights may be damaged" }
        return mean.isFinite
            ? "e to the power of the mean, \(mean), is too large" : "the model gives a token of the text probability 0"
    }

    enum CodingKeys: String, CodingKey {
        case perplexity
        case mean = "mean_nll"
        case count = "scored_tokens"
        case tokensPerSecond = "tokens_per_s"
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(perplexity, forKey: .perplexity)
        try container.encode(mean, forKey: .mean)
        try container.encode(count, forKey: .count)
        try container.encode(tokensPerSecond, forKey: .tokensPerSecond)
    }
}

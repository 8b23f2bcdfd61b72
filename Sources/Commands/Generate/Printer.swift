import Bootstrap
import Engine
import Foundation
import Generation
import ProgramEntry
import Tokenization

/// The results of a run, for the closing report.
struct Outcome {
    let results: [GenerationResult]
    let options: GenerationOptions
    let statistics: Engine.Statistics
    let timeToFirstToken: Duration?
    /// The error that ended the run early, which is reported after all ranks have ended their work.
    var failure: (any Error)?
}

/// Prints results as they arrive: it streams text, or prints a batch as one JSON object per line, in order.
struct Printer {
    let isJSON: Bool
    let isBatch: Bool
    /// Whether the prompt is printed before its continuation.
    let showsPrompt: Bool
    let options: GenerationOptions

    func run(_ job: Job, _ session: RankSession) throws -> Outcome {
        let generator = session.makeGenerator()
        let streams = !isJSON && !isBatch && job.options.outputCount == 1
        var lines = OrderedLines()
        var failure: (any Error)?
        func show(_ text: String) {
            guard failure == nil else { return }
            do { try writeOut(text) } catch { failure = error }
        }
        if streams, showsPrompt, let tokenizer = session.tokenizer.value, let prompt = job.prompts.first {
            show(tokenizer.decode(prompt.tokens.map { TokenID($0) }, skippingSpecial: true))
        }
        let (results, _) = try generator.run(
            prompts: job.prompts.map(\.tokens), job.options,
            onText: { _, _, text in
                if streams { show(text) }
            },
            onResult: { prompt, result in
                guard isBatch, failure == nil else { return }
                do {
                    try lines.add(ResultReport(result, options: job.options), at: prompt)
                } catch {
                    failure = error
                }
            },
            isInterrupted: { session.isInterrupted || failure != nil })
        if streams { show(session.tokenizer.value == nil ? ids(results) + "\n" : "\n") }
        if !isJSON && !isBatch && job.options.outputCount > 1 {
            for (index, output) in (results.first?.outputs ?? []).enumerated() {
                show("[\(index)] \(output.text)\n")
            }
        }
        return Outcome(
            results: results, options: job.options, statistics: session.engine.statistics,
            timeToFirstToken: generator.timeToFirstToken, failure: failure)
    }

    /// The token ids of the first output, which stand for its text if the model has no tokenizer.
    private func ids(_ results: [GenerationResult]) -> String {
        (results.first?.outputs.first?.tokens ?? []).map { "\($0.id)" }.joined(separator: ",")
    }
}

/// Prints lines in the order of the prompts, regardless of which ends first.
private struct OrderedLines {
    private var waiting: [Int: ResultReport] = [:]
    private var next = 0

    mutating func add(_ report: ResultReport, at index: Int) throws {
        waiting[index] = report
        while let ready = waiting.removeValue(forKey: next) {
            try printJSON(ready)
            next += 1
        }
    }
}

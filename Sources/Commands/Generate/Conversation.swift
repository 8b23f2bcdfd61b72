import Bootstrap
import Engine
import Foundation
import Generation
import ProgramEntry

/// Prompts from standard input, one a line; each goes on from all that came before, which stays in the cache.
struct Conversation {
    let session: RankSession
    let options: GenerationOptions

    func run() throws -> Outcome {
        let generator = session.makeGenerator()
        var kept: RequestID?
        var used = 0
        var all: [GenerationResult] = []
        var first: Duration?
        while !session.isInterrupted {
            if isatty(STDIN_FILENO) == 1 { complain("> (end with Ctrl-D)") }
            guard let line = readLine(strippingNewline: true) else { break }
            guard !line.isEmpty else { continue }
            let tokens = try session.model.encode(
                Array(line.utf8), from: "standard input", tokenizer: session.tokenizer, isContinuation: kept != nil)
            var options = options
            options.maximumTokens = min(options.maximumTokens, session.limits.sequenceLength - used - tokens.count)
            guard options.maximumTokens > 0 else {
                complain(
                    "the conversation has reached \(session.limits.sequenceLength) tokens; start again, or raise --max-model-len"
                )
                break
            }
            var failure: (any Error)?
            let (results, last) = try generator.run(
                prompts: [tokens], options, continuing: kept, keepsCache: true,
                onText: { _, _, text in
                    guard failure == nil else { return }
                    do { try writeOut(text) } catch { failure = error }
                },
                isInterrupted: { session.isInterrupted || failure != nil })
            if let failure { throw failure }
            try writeOut("\n")
            all += results
            first = first ?? generator.timeToFirstToken
            used += tokens.count + (results.first?.outputs.first?.tokens.count ?? 0)
            kept = last
        }
        return Outcome(results: all, options: options, statistics: session.engine.statistics, timeToFirstToken: first)
    }
}

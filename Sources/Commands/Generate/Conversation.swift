import Bootstrap
import Engine
import Generation
import Glibc
import ProgramEntry

/// Runs prompts from standard input, one per line; each continues the conversation so far, which stays in the cache.
struct Conversation {
    let session: RankSession
    let options: GenerationOptions

    func run() throws -> Outcome {
        let generator = session.makeGenerator()
        var lines = try InputLines()
        var kept: RequestID?
        var used = 0
        var all: [GenerationResult] = []
        var first: Duration?
        var failure: (any Error)?
        do {
            while !session.isInterrupted {
                if isatty(STDIN_FILENO) == 1 { complain("> (end with Ctrl-D)") }
                guard let line = try lines.next(isInterrupted: { session.isInterrupted }) else { break }
                guard !line.isEmpty else { continue }
                let source = "standard input, line \(lines.count)"
                let tokens = try session.model.encode(
                    line, from: source, tokenizer: session.tokenizer, isContinuation: kept != nil)
                guard !tokens.isEmpty else {
                    complain("\(source) encodes to no token, and is passed over")
                    continue
                }
                let room = session.limits.sequenceLength - used - tokens.count
                guard room > 0 else {
                    // The answers of a conversation that has begun are valid; one that cannot begin is an error.
                    if kept == nil { throw tooLong(tokens.count, source) }
                    complain(
                        "the conversation has reached \(session.limits.sequenceLength) tokens; start again, or raise "
                            + "--max-model-len")
                    break
                }
                var options = options
                options.maximumTokens = min(options.maximumTokens, room)
                let (results, last) = try generator.run(
                    prompts: [tokens], options, continuing: kept, keepsCache: true,
                    onText: { _, _, text in
                        guard failure == nil else { return }
                        do { try writeOut(text) } catch { failure = error }
                    },
                    isInterrupted: { session.isInterrupted || failure != nil })
                if failure != nil { break }
                try writeOut("\n")
                all += results
                first = first ?? generator.timeToFirstToken
                used += tokens.count + (results.first?.outputs.first?.tokens.count ?? 0)
                kept = last
            }
        } catch let error as RunError {
            failure = error
        }
        return Outcome(
            results: all, options: options, statistics: session.engine.statistics, timeToFirstToken: first,
            failure: failure)
    }

    private func tooLong(_ count: Int, _ source: String) -> RunError {
        RunError(
            .badInput,
            "\(source) is \(count) tokens long, which leaves no room within \(session.limits.sequenceLength); shorten it, "
                + "or raise --max-model-len (the model goes up to \(session.model.decoder.positionLimit))")
    }
}

import Bootstrap
import Chat
import ChatOptions
import Engine
import Generation
import Glibc
import ProgramEntry

/// Runs prompts from standard input, one per line; each continues what came before, which stays in the cache.
///
/// With a chat format, each line is a user's message, and the model answers. Otherwise each line is text that follows the
/// text so far.
struct Dialogue {
    let session: RankSession
    let options: GenerationOptions
    let format: ChatFormat?

    func run() throws -> Outcome {
        let generator = session.makeGenerator()
        var lines = try InputLines()
        var kept: RequestID?
        var conversation = format?.start ?? Conversation()
        var all: [GenerationResult] = []
        var first: Duration?
        var failure: (any Error)?
        do {
            while !session.isInterrupted {
                if isatty(STDIN_FILENO) == 1 { complain("> (end with Ctrl-D)") }
                guard let line = try lines.next(isInterrupted: { session.isInterrupted }) else { break }
                guard !line.isEmpty else { continue }
                let source = "standard input, line \(lines.count)"
                if format != nil {
                    guard let text = String(validating: line, as: UTF8.self) else {
                        throw RunError(.badInput, "\(source) is not UTF-8")
                    }
                    conversation.add(role: "user", text)
                }
                var known = kept.flatMap { session.engine.tokens(inCacheOf: $0) } ?? []
                var tokens: [Int32]
                if let format {
                    let whole = try encoded(conversation, format, source)
                    // A template may change what it wrote before, such as by leaving out thoughts.
                    if !whole.starts(with: known) || whole.count == known.count { (kept, known) = (nil, []) }
                    tokens = Array(whole.dropFirst(known.count))
                } else {
                    tokens = try session.model.encode(
                        line, from: source, tokenizer: session.tokenizer, isContinuation: kept != nil)
                }
                if let last = kept, !session.engine.canContinue(last, addingTokens: tokens.count) {
                    tokens = known + tokens
                    (kept, known) = (nil, [])
                }
                guard !tokens.isEmpty else {
                    complain("\(source) encodes to no token, and is passed over")
                    continue
                }
                let room = session.limits.sequenceLength - known.count - tokens.count
                guard room > 0 else {
                    // The answers of a conversation that has begun are valid; one that cannot begin is an error.
                    if all.isEmpty { throw tooLong(tokens.count, source) }
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
                kept = last
                if format != nil { conversation.add(role: "assistant", results.first?.outputs.first?.text ?? "") }
            }
        } catch let error as RunError {
            failure = error
        }
        return Outcome(
            results: all, options: options, statistics: session.engine.statistics, timeToFirstToken: first,
            failure: failure)
    }

    private func encoded(_ conversation: Conversation, _ format: ChatFormat, _ source: String) throws -> [Int32] {
        do {
            return try session.model.checked(format.encode(conversation).map(\.rawValue))
        } catch let error as ChatError {
            throw RunError(.badInput, "\(source): \(error)")
        }
    }

    private func tooLong(_ count: Int, _ source: String) -> RunError {
        RunError(
            .badInput,
            "\(source) is \(count) tokens long, which leaves no room within \(session.limits.sequenceLength); shorten it, "
                + "or raise --max-model-len (the model goes up to \(session.model.decoder.positionLimit))")
    }
}

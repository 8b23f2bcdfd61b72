import Foundation
import TestSupport
import Testing

/// The required reaction to a bad input: a status, one line that contains certain words, and no result.
struct Refusal {
    let status: Int32
    let words: [String]

    init(_ status: Int32, naming words: String...) {
        self.status = status
        self.words = words
    }

    /// Runs a program and checks its reaction.
    func expect(
        _ program: String, _ arguments: [String], ranks: Int? = nil, input: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        var pids: [Int32] = []
        let outcome = try ProgramRun.run(program, arguments, ranks: ranks, input: input, seconds: 30, isShort: true) {
            run in
            guard ranks != nil else { return }
            _ = run.wait { !run.ranks.isEmpty }
            pids = run.descendants
        }
        let shown = "\(arguments.joined(separator: " ")): status \(outcome.status), \(outcome.errors)"
        #expect(outcome.status == status, "\(shown)", sourceLocation: sourceLocation)
        #expect(outcome.output == "", "\(shown)", sourceLocation: sourceLocation)
        #expect(outcome.errorLines.count == 1, "\(shown)", sourceLocation: sourceLocation)
        for word in words {
            #expect(outcome.errors.contains(word), "\(word): \(shown)", sourceLocation: sourceLocation)
        }
        #expect(ProcessTable.survivors(of: pids) == [], "\(shown)", sourceLocation: sourceLocation)
    }

    /// Runs `generate` with a checkpoint without a tokenizer and checks its reaction.
    func expectGenerate(
        _ model: String, _ more: [String] = [], ranks: Int? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try expect(
            "generate",
            ["--model", model, "--prompt-token-ids", "5,9", "--max-tokens", "4", "--log-level", "error"] + more,
            ranks: ranks, sourceLocation: sourceLocation)
    }
}

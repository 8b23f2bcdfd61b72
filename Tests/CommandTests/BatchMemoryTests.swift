import Foundation
import TestSupport
import Testing

/// Tests the memory of a batch besides weights and cache: waiting prompts must not hold what only running ones need.
@Suite(.serialized) struct BatchMemoryTests {
    /// The peak resident memory of a run, in bytes.
    private func peak(_ prompts: String, _ more: [String]) throws -> Int {
        var most = 0
        let outcome = try ProgramRun.run(
            "generate",
            [
                "--model", embeddedModel, "--prompts", prompts, "--max-tokens", "1", "--seed", "1", "--log-level",
                "error",
                "--threads", "1",
            ] + more
        ) { run in
            while run.isRunning {
                let status =
                    (try? String(contentsOfFile: "/proc/\(run.processIdentifier)/status", encoding: .utf8)) ?? ""
                let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
                most = max(most, line.flatMap { Int($0.filter(\.isNumber)) } ?? 0)
                usleep(5000)
            }
        }
        #expect(outcome.status == 0, "\(outcome.errors)")
        return most * 1024
    }

    /// Penalties and top-k need memory for the vocabulary, here 8192 tokens, in running sequences only.
    @Test func waitingPromptsHoldNoVocabulary() throws {
        let folder = try TemporaryFolder()
        let prompts = try folder.write(String(repeating: "\"Once\"\n", count: 2500), to: "prompts")
        let plain = try peak(prompts, ["--temperature", "0"])
        for more in [["--repetition-penalty", "1.05"], ["--top-k", "40"]] {
            // If every waiting prompt had counts for the vocabulary, they would take 2500 * 8192 * 4 bytes, or 80 MB.
            #expect(try peak(prompts, more) - plain < 30 << 20, "\(more)")
        }
    }
}

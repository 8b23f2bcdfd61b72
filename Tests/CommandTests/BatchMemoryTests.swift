import Foundation
import TestSupport
import Testing

/// What a batch takes besides weights and cache: prompts that wait must not hold what only running sequences need.
@Suite(.serialized) struct BatchMemoryTests {
    /// The most memory that a run has had resident, in bytes.
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

    /// Penalties and top-k need room for the vocabulary in every running sequence: 8192 tokens here.
    @Test func waitingPromptsHoldNoVocabulary() throws {
        let folder = try TemporaryFolder()
        let prompts = try folder.write(String(repeating: "\"Once\"\n", count: 2500), to: "prompts")
        let plain = try peak(prompts, ["--temperature", "0"])
        for more in [["--repetition-penalty", "1.05"], ["--top-k", "40"]] {
            // Every waiting prompt with a vocabulary of counts would take 2500 * 8192 * 4 bytes: 80 MB.
            #expect(try peak(prompts, more) - plain < 30 << 20, "\(more)")
        }
    }
}

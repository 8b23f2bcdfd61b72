import Foundation
import TestSupport
import Testing

/// How `generate` ends when a rank is killed while it decodes, and on Ctrl-C.
@Suite(.serialized) struct EndingTests {
    /// Long enough that no machine is through before the test has acted; text shows when decoding has begun.
    private static let arguments = [
        "--model", embeddedModel, "--prompt", "Once upon a time", "--max-tokens", "2000", "--ignore-eos",
        "--temperature", "1",
        "--seed", "1", "--threads", "1", "--log-level", "error",
    ]

    /// Starts a long run on two ranks, waits until it decodes, and acts.
    ///
    /// - Returns: what came of it, the processes it had, and the seconds from the act to the end.
    private func interrupt(
        _ more: [String] = [], showsText: Bool = true, by act: (ProgramRun) throws -> Void
    ) throws -> (outcome: ProgramOutcome, pids: [Int32], seconds: Double) {
        var pids: [Int32] = []
        var start = ContinuousClock.now
        let outcome = try ProgramRun.run("generate", Self.arguments + more, ranks: 2, seconds: 30) { run in
            try #require(run.wait { run.ranks.count == 2 }, "two ranks do not start")
            if showsText {
                try #require(run.wait { run.output.utf8.count > 60 }, "no text comes: \(run.output)")
                usleep(700_000)  // ranks tell each other twice a second what they do
            } else {
                usleep(1_500_000)
            }
            pids = run.descendants
            start = .now
            try act(run)
        }
        let elapsed = (ContinuousClock.now - start).components
        #expect(!outcome.ranOutOfTime)
        #expect(pids.count >= 4, "the launcher, mpirun and two ranks: \(pids)")
        #expect(ProcessTable.survivors(of: pids) == [], "processes are left")
        return (outcome, pids, Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18)
    }

    @Test(arguments: [0, 1]) func aKilledRankEndsTheJob(rank: Int) throws {
        let (outcome, _, seconds) = try interrupt { run in
            kill(try #require(run.ranks[rank]), SIGKILL)
        }
        #expect(outcome.status != 0 && seconds < 5, "status \(outcome.status) after \(seconds) s")
        let host = ProcessInfo.processInfo.hostName.split(separator: ".")[0]
        let line = try #require(outcome.errorLines.first)
        #expect(line.hasPrefix("rank \(rank) on \(host)") && line.contains("was lost while"), "\(outcome.errors)")
        #expect(outcome.errorLines.count == 1, "\(outcome.errors)")
        print("rank \(rank) killed: status \(outcome.status) after \(seconds) s: \(line)")
    }

    /// A stopped rank says nothing: it is lost after `--timeout` seconds.
    @Test func aSilentRankEndsTheJob() throws {
        let (outcome, _, seconds) = try interrupt(["--timeout", "2"]) { run in
            kill(try #require(run.ranks[1]), SIGSTOP)
        }
        #expect(
            outcome.status == 75 && seconds < 2 + 5, "status \(outcome.status) after \(seconds) s: \(outcome.errors)")
        #expect(
            outcome.errorLines.count { $0.contains("rank 1 on ") && $0.contains("was lost") } == 1, "\(outcome.errors)")
    }

    @Test(arguments: [false, true]) func controlCEndsWith130(isJSON: Bool) throws {
        let (outcome, _, seconds) = try interrupt(isJSON ? ["--format", "json", "--n", "8"] : [], showsText: !isJSON) {
            run in
            let group = getpgid(run.processIdentifier)
            try #require(group > 1 && group != getpgrp(), "the launcher has no process group of its own")
            kill(-group, SIGINT)
        }
        #expect(outcome.status == 130 && seconds < 5, "status \(outcome.status) after \(seconds) s: \(outcome.errors)")
        if isJSON { #expect(outcome.output == "") }
        #expect(!outcome.errors.contains("was lost"), "\(outcome.errors)")
    }

    @Test(arguments: [SIGINT, SIGTERM]) func oneRankAloneEndsWith130(signal: Int32) throws {
        let outcome = try ProgramRun.run("generate", Self.arguments, seconds: 30) { run in
            try #require(run.wait { run.output.utf8.count > 60 })
            kill(run.processIdentifier, signal)
        }
        #expect(outcome.status == 130 && !outcome.ranOutOfTime, "\(outcome.errors)")
        #expect(outcome.errorLines.count == 1 && outcome.errors.contains("interrupted"), "\(outcome.errors)")
    }
}

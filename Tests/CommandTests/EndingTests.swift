import Foundation
import TestSupport
import Testing

/// Tests how programs end when a rank is lost, and when they are told to end.
@Suite(.serialized) struct EndingTests {
    /// A run that is too long for any machine to finish before the test acts; its text shows that decoding has begun.
    private static let arguments = [
        "--model", embeddedModel, "--prompt", "Once upon a time", "--max-tokens", "2000", "--ignore-eos",
        "--temperature", "1",
        "--seed", "1", "--threads", "1", "--log-level", "error",
    ]

    /// Starts a long run on two ranks, waits until it decodes, and acts.
    ///
    /// - Returns: the outcome, the run's processes, and the seconds from the act to the end.
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

    /// A stopped rank is silent, so it counts as lost after `--timeout` seconds.
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

    /// The programs that run over ranks, with arguments that take some seconds.
    private static let programs: [(name: String, arguments: [String])] = [
        ("generate", arguments + ["--n", "8"]),
        (
            "evaluate",
            [
                "perplexity", "--model", embeddedModel, "--text",
                "\(ProgramRun.repositoryPath)/Tests/Golden/text/eval-20k.txt",
            ]
        ),
        ("all_reduce_bench", ["--stress", "1000000000"]),
        ("bench", ["run", "--model", embeddedModel, "--rounds", "1000"]),
    ]

    /// A rank that stops before the heartbeat starts, while MPI starts, is named.
    @Test(arguments: [0, 1, 2, 3]) func aRankThatIsStoppedAtOnceIsNamed(program: Int) throws {
        let (name, arguments) = Self.programs[program]
        var pids: [Int32] = []
        let lost = program % 2
        let outcome = try ProgramRun.run(name, arguments + ["--timeout", "2"], ranks: 2, seconds: 30) { run in
            try #require(run.wait { run.ranks[lost] != nil }, "rank \(lost) does not start")
            pids = run.descendants
            kill(try #require(run.ranks[lost]), SIGSTOP)
        }
        #expect(outcome.status == 75 && !outcome.ranOutOfTime, "\(outcome.status): \(outcome.errors)")
        #expect(outcome.errorLines.count == 1, "\(outcome.errors)")
        #expect(outcome.errorLines.first?.hasPrefix("rank \(lost) on ") == true, "\(outcome.errors)")
        #expect(outcome.errors.contains("was lost while starting"), "\(outcome.errors)")
        #expect(ProcessTable.survivors(of: pids) == [], "processes are left")
    }

    /// The launcher ends with status 75 even if mpirun reports the signal.
    @Test(arguments: [0, 1]) func aRankThatIsKilledAtOnceIsNamed(rank: Int) throws {
        let outcome = try ProgramRun.run("generate", Self.arguments + ["--n", "8"], ranks: 2, seconds: 30) { run in
            try #require(run.wait { run.ranks[rank] != nil }, "rank \(rank) does not start")
            kill(try #require(run.ranks[rank]), SIGKILL)
        }
        #expect(outcome.status == 75 && !outcome.ranOutOfTime, "\(outcome.status): \(outcome.errors)")
        #expect(outcome.errorLines.count == 1, "\(outcome.errors)")
        #expect(outcome.errors.contains("rank \(rank) on ") && outcome.errors.contains("was lost while"))
    }

    /// If the only rank is killed, the launcher reports it, because no rank is left to do so.
    @Test func theLauncherSpeaksForTheOnlyRank() throws {
        let outcome = try ProgramRun.run("generate", Self.arguments + ["--n", "8"], ranks: 1, seconds: 30) { run in
            try #require(run.wait { run.ranks[0] != nil }, "rank 0 does not start")
            kill(try #require(run.ranks[0]), SIGKILL)
        }
        #expect(outcome.status == 137 && outcome.errorLines.count == 1, "\(outcome.status): \(outcome.errors)")
        #expect(outcome.errors.contains("ended by signal 9"), "\(outcome.errors)")
    }

    /// A signal to any rank ends the job, although rank 0 alone decides and has to be told.
    @Test(arguments: [(0, SIGTERM), (1, SIGTERM), (1, SIGINT), (1, SIGHUP)])
    func tellingAnyRankToEndEndsTheJob(rank: Int, signal: Int32) throws {
        let (outcome, _, _) = try interrupt(["--n", "8"], showsText: false) { run in
            kill(try #require(run.ranks[rank]), signal)
        }
        #expect(outcome.status == 130, "\(outcome.status): \(outcome.errors)")
        #expect(outcome.errorLines.count == 1 && outcome.errors.contains("interrupted"), "\(outcome.errors)")
    }

    /// A supervisor's signal to the launcher alone also ends mpirun and its ranks.
    @Test(arguments: [SIGTERM, SIGHUP, SIGINT, SIGQUIT]) func tellingTheLauncherToEndEndsTheJob(signal: Int32) throws {
        let (outcome, _, _) = try interrupt(["--n", "8"], showsText: false) { run in
            kill(run.processIdentifier, signal)
        }
        #expect(outcome.status == 130, "\(outcome.status): \(outcome.errors)")
        #expect(outcome.errorLines.count == 1 && outcome.errors.contains("interrupted"), "\(outcome.errors)")
    }

    /// As Open MPI's mpirun does now and then after a signal: the launcher kills it, and its ranks die with it.
    @Test(arguments: [false, true]) func anMPIRunThatHangsIsEnded(isForAll: Bool) throws {
        let (outcome, _, seconds) = try interrupt(["--n", "8"], showsText: false) { run in
            kill(try #require(run.descendants.first { ProcessTable.name(of: $0) == "mpirun" }), SIGSTOP)
            kill(isForAll ? -getpgid(run.processIdentifier) : run.processIdentifier, SIGINT)
        }
        #expect(outcome.status == 130 && seconds < 8, "\(outcome.status) after \(seconds) s: \(outcome.errors)")
        #expect(outcome.errorLines.count == 1 && outcome.errors.contains("interrupted"), "\(outcome.errors)")
    }

    @Test(arguments: [nil, 2]) func interruptedLoadingIsCalledSo(ranks: Int?) throws {
        // The model is large enough that the test can observe its loading.
        let arguments = ["--model", "synthetic:qwen1.5-0.5b", "--prompt-token-ids", "1", "--threads", "1"]
        let outcome = try ProgramRun.run("generate", arguments, ranks: ranks, seconds: 60) { run in
            try #require(
                run.wait {
                    guard let pid = ranks == nil ? run.processIdentifier : run.ranks[1] else { return false }
                    return ProcessTable.residentByteCount(of: pid) > 100 << 20
                }, "no weights are loaded")
            kill(ranks == nil ? run.processIdentifier : try #require(run.ranks[1]), SIGTERM)
        }
        #expect(outcome.status == 130 && outcome.output == "", "\(outcome.status): \(outcome.errors)")
        #expect(outcome.errorLines == ["trireme: loading was interrupted"], "\(outcome.errors)")
    }

    /// A fault signal from outside gives one line, and not the stack trace of Swift's crash handler.
    @Test(arguments: [SIGSEGV, SIGABRT]) func aFaultFromOutsideIsOneLine(signal: Int32) throws {
        let (outcome, _, _) = try interrupt(["--n", "8"], showsText: false) { run in
            kill(try #require(run.ranks[1]), signal)
        }
        #expect(outcome.status == 70 && outcome.errorLines.count == 1, "\(outcome.status): \(outcome.errors)")
        #expect(outcome.errors.contains("generate: rank 1 on ") && outcome.errors.contains(" from process \(getpid())"))
        #expect(outcome.errors.contains(" while "), "\(outcome.errors)")
    }

    @Test func quitEndsAProgram() throws {
        let outcome = try ProgramRun.run("generate", Self.arguments + ["--n", "8"], seconds: 30) { run in
            try #require(run.wait { ProcessTable.residentByteCount(of: run.processIdentifier) > 50 << 20 })
            kill(run.processIdentifier, SIGQUIT)
        }
        #expect(outcome.status == 128 + SIGQUIT && outcome.errorLines == [], "\(outcome.status): \(outcome.errors)")
    }

    /// A weight file may shrink in use if a download overwrites it, or if its server is lost.
    @Test(arguments: [nil, 2]) func aWeightFileThatShrinksIsNamed(ranks: Int?) throws {
        let folder = try TemporaryFolder()
        let model = "\(folder.path)/model"
        try FileManager.default.copyItem(atPath: embeddedModel, toPath: model)
        let arguments = Self.arguments.map { $0 == embeddedModel ? model : $0 }
        let outcome = try ProgramRun.run("generate", arguments, ranks: ranks, seconds: 30) { run in
            try #require(run.wait { run.output.utf8.count > 60 }, "no text comes: \(run.output)")
            truncate("\(model)/model.safetensors", 100_000)
        }
        #expect(outcome.status == 65 && outcome.errorLines.count == 1, "\(outcome.status): \(outcome.errors)")
        #expect(outcome.errors.contains("\(model)/model.safetensors"), "\(outcome.errors)")
    }
}

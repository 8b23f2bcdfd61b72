import Foundation
import TestSupport
import Testing

private let hasMPIRun = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
    FileManager.default.isExecutableFile(atPath: "\($0)/mpirun")
}

/// How jobs end: starts this test bundle under mpirun as `LossScenario`, and looks at status, time and output.
@Suite(.serialized, .enabled(if: !isUnderMPI && hasMPIRun, "needs mpirun, and not to run under it"))
struct EndingTests {
    struct Outcome {
        var status: Int32 = 0
        var seconds = 0.0
        var output = ""
        var pids: [Int32] = []

        var lostLines: [Substring] { output.split(separator: "\n").filter { $0.contains("was lost") } }
    }

    private func run(_ scenario: String, ranks: Int, interruptAfter seconds: Double? = nil) throws -> Outcome {
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..").standardized
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/setsid")
        process.arguments = [
            "--wait", "timeout", "--foreground", "-s", "KILL", "40", root.appending(path: "Launch/local.sh").path,
            "\(ranks)", try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"),
            "--testing-library", "swift-testing", "--filter", "LossScenario",
        ]
        process.environment = ProcessInfo.processInfo.environment.merging(
            ["TRIREME_TEST_SCENARIO": scenario, "TRIREME_HOST_NAME": "testhost"]) { $1 }
        let file = FileManager.default.temporaryDirectory.appending(path: "trireme-\(scenario)-\(getpid()).log")
        _ = FileManager.default.createFile(atPath: file.path, contents: nil)
        defer { try? FileManager.default.removeItem(at: file) }
        let log = try FileHandle(forWritingTo: file)
        process.standardOutput = log
        process.standardError = log
        process.standardInput = FileHandle.nullDevice
        let start = ContinuousClock.now
        try process.run()
        if let seconds {
            usleep(UInt32(seconds * 1_000_000))
            // Ctrl-C: the whole process group of the launcher, which its ranks have told us.
            let words = try String(contentsOf: file, encoding: .utf8).split(whereSeparator: \.isWhitespace)
            if let place = words.firstIndex(of: "group"), let group = Int32(words[place + 1]), group > 1 {
                kill(-group, SIGINT)
            }
        }
        process.waitUntilExit()
        let elapsed = ContinuousClock.now - start
        let output = try String(contentsOf: file, encoding: .utf8)
        let words = output.split(whereSeparator: \.isWhitespace)
        let pids = words.indices.filter { words[$0] == "pid" }.compactMap { Int32(words[$0 + 1]) }
        return Outcome(
            status: process.terminationStatus,
            seconds: Double(elapsed.components.seconds)
                + Double(elapsed.components.attoseconds) * 1e-18, output: output, pids: pids)
    }

    /// Nothing may be left of a job; what only waits for its parent to look at it (a zombie) does not count.
    private func expectNoOrphans(_ outcome: Outcome, ranks: Int) {
        #expect(outcome.pids.count == ranks, "\(outcome.output)")
        #expect(ProcessTable.survivors(of: outcome.pids) == [], "processes are left")
    }

    @Test(arguments: [2, 3]) func aKilledRankIsNamed(ranks: Int) throws {
        let outcome = try run("kill", ranks: ranks)
        #expect(outcome.status != 0 && outcome.seconds < 8, "status \(outcome.status), \(outcome.seconds) s")
        let line = "rank 1 on testhost was lost while decoding step 17 (connection closed); ending the job"
        #expect(outcome.lostLines == [Substring(line)], "\(outcome.output)")
        expectNoOrphans(outcome, ranks: ranks)
        print("killed rank: status \(outcome.status), \(outcome.seconds) s in all")
    }

    @Test func theFirstRankIsNamedByTheNext() throws {
        let outcome = try run("killFirst", ranks: 3)
        #expect(outcome.status != 0 && outcome.seconds < 8, "status \(outcome.status), \(outcome.seconds) s")
        let line = "rank 0 on testhost was lost while decoding step 17 (connection closed); ending the job"
        #expect(outcome.lostLines == [Substring(line)], "\(outcome.output)")
        expectNoOrphans(outcome, ranks: 3)
    }

    @Test func aSilentRankIsNamed() throws {
        let outcome = try run("stop", ranks: 2)
        #expect(outcome.status == 75, "\(outcome.output)")
        #expect(outcome.lostLines.count == 1, "\(outcome.output)")
        #expect(outcome.output.contains("rank 1 on testhost was lost while decoding step 17 (nothing heard for 2 s)"))
        expectNoOrphans(outcome, ranks: 2)
    }

    @Test func aRanksOwnErrorEndsTheJobWithoutAFalseAlarm() throws {
        let outcome = try run("error", ranks: 3)
        #expect(outcome.status == 66, "\(outcome.output)")
        #expect(outcome.output.contains("reported: rank 1 on testhost: the disk is full"))
        #expect(outcome.lostLines.isEmpty, "\(outcome.output)")
        expectNoOrphans(outcome, ranks: 3)
    }

    /// As when several wait for one in vain.
    @Test func errorsOfSeveralRanksAreReportedOnce() throws {
        let outcome = try run("errors", ranks: 3)
        #expect(outcome.status == 66, "\(outcome.output)")
        let reports = outcome.output.split(separator: "\n").filter { $0.contains("the disk is full") }
        #expect(reports.count == 1 && outcome.lostLines.isEmpty, "\(outcome.output)")
    }

    /// Between the heartbeat's goodbye and the end of MPI nothing else looks; mpirun may report the killed rank's status.
    @Test(arguments: [("stopEnding", "is stopped", [75]), ("killEnding", "has ended", [75, 137])])
    func aRankLostWhileMPIEndsIsNamed(scenario: String, reason: String, statuses: [Int32]) throws {
        let outcome = try run(scenario, ranks: 3)
        #expect(statuses.contains(outcome.status), "\(outcome.status): \(outcome.output)")
        #expect(outcome.lostLines.count == 1, "\(outcome.output)")
        let line = outcome.lostLines.first ?? ""
        #expect(line.hasPrefix("rank 1 on testhost was lost while ending MPI (") && line.contains(reason), "\(line)")
        expectNoOrphans(outcome, ranks: 3)
    }

    /// The runtime's own message is part of the line, and no stack is printed.
    @Test func aTrapIsOneLine() throws {
        let outcome = try run("trap", ranks: 2)
        #expect(outcome.status == 70, "\(outcome.output)")
        let lines = outcome.output.split(separator: "\n").filter { $0.contains("scenario: ") }
        #expect(lines.count == 1 && outcome.lostLines.isEmpty, "\(outcome.output)")
        let line = lines.first ?? ""
        #expect(line.hasPrefix("scenario: rank 1 on testhost: a defect of this program: "), "\(outcome.output)")
        #expect(
            line.contains("Fatal error: as planned") && line.contains("while decoding step 17"), "\(outcome.output)")
        #expect(!outcome.output.contains("Crash") && !outcome.output.contains("Backtrac"), "\(outcome.output)")
        expectNoOrphans(outcome, ranks: 2)
    }

    @Test func anAgreedErrorIsReportedOnce() throws {
        let outcome = try run("agreed", ranks: 3)
        #expect(outcome.status == 65, "\(outcome.output)")
        let reports = outcome.output.split(separator: "\n").filter { $0.contains("reported") }
        #expect(reports == ["reported: rank 1 on testhost: the file is cut short"])
        #expect(outcome.lostLines.isEmpty, "\(outcome.output)")
    }

    @Test func aGoodEndIsQuietWhateverTheOrder() throws {
        let outcome = try run("clean", ranks: 3)
        #expect(outcome.status == 0 && outcome.lostLines.isEmpty, "\(outcome.output)")
    }

    @Test func controlCEndsWith130() throws {
        let outcome = try run("interrupt", ranks: 2, interruptAfter: 2)
        #expect(outcome.status == 130 && outcome.seconds < 7, "\(outcome.status): \(outcome.output)")
        #expect(outcome.lostLines.isEmpty, "\(outcome.output)")
        expectNoOrphans(outcome, ranks: 2)
        print("Ctrl-C after 2 s: over after \(outcome.seconds) s")
    }
}

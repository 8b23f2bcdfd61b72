import Foundation
import Synchronization

/// The outcome of a finished program.
public struct ProgramOutcome: Sendable {
    /// The exit status, or 128 plus the number of the signal that ended the program.
    public let status: Int32
    public let output: String
    public let errors: String
    /// Whether the watchdog had to end the program.
    public let ranOutOfTime: Bool

    /// The lines that the program itself wrote to standard error.
    ///
    /// They do not include the `mpirun` line that `Launch/local.sh` prints first, and the warning that mpirun's event
    /// library sometimes prints when it ends many ranks on a busy machine.
    public var errorLines: [String] {
        errors.split(separator: "\n").map(String.init).filter {
            !$0.hasPrefix("mpirun -") && !$0.hasPrefix("[warn] Epoll ")
        }
    }

    /// Standard output as JSON.
    public func json<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        try JSONDecoder().decode(type, from: Data(output.utf8))
    }
}

/// One of the project's programs, running as a process, alone or as several ranks.
///
/// Output goes to files, so that the program never waits for a reader.
public final class ProgramRun {
    /// The folder of the built programs, which is that of this test bundle.
    public static let productsPath: String = {
        let bundle = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (bundle as NSString).deletingLastPathComponent
    }()
    /// The top of the repository.
    public static let repositoryPath = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        .standardized.path(percentEncoded: false).replacing(/\/$/, with: "")

    /// A lock, because the ranks of two concurrent tests would only wait for each other and distort times.
    private static let turn = Mutex<Void>(())

    private let process = Process()
    private let program: String
    private let directory: URL

    /// Runs a program to its end.
    ///
    /// - Parameters:
    ///   - program: a product, such as `generate`.
    ///   - ranks: the number of ranks, started by `Launch/local.sh` or the launcher in `TRIREME_TEST_LAUNCHER`; nil:
    ///     the program is started directly.
    ///   - input: standard input; nil: it is empty.
    ///   - path: the file to which standard output is written instead of being kept.
    ///   - seconds: the time after which the watchdog ends the program.
    ///   - isShort: whether the program computes nothing, so that it may run concurrently with others.
    ///   - meanwhile: called while the program runs, to observe it and act on it.
    public static func run(
        _ program: String, _ arguments: [String], ranks: Int? = nil, input: String? = nil, writesTo path: String? = nil,
        seconds: Double = 60, isShort: Bool = false, meanwhile: (ProgramRun) throws -> Void = { _ in }
    ) throws -> ProgramOutcome {
        func outcome() throws -> ProgramOutcome {
            let run = try ProgramRun(program, arguments, ranks: ranks, input: input, path: path)
            defer { try? FileManager.default.removeItem(at: run.directory) }
            let deadline = ContinuousClock.now + .seconds(seconds)
            do {
                try meanwhile(run)
            } catch {
                run.killAll()
                throw error
            }
            return run.finish(before: deadline)
        }
        return isShort ? try outcome() : try turn.withLock { _ in try outcome() }
    }

    private init(_ program: String, _ arguments: [String], ranks: Int?, input: String?, path: String?) throws {
        self.program = "\(Self.productsPath)/\(program)"
        guard FileManager.default.isExecutableFile(atPath: self.program) else {
            throw ProgramFault(description: "\(self.program) is not built: swift build --build-tests builds it")
        }
        directory = FileManager.default.temporaryDirectory.appending(path: "trireme-run-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        for name in ["stdin", "stdout", "stderr"] {
            try Data((name == "stdin" ? input ?? "" : "").utf8).write(to: directory.appending(path: name))
        }
        if let ranks {
            let launcher =
                ProcessInfo.processInfo.environment["TRIREME_TEST_LAUNCHER"] ?? "\(Self.repositoryPath)/Launch/local.sh"
            let words = launcher.split(separator: " ").map(String.init)
            process.executableURL = URL(filePath: words[0])
            process.arguments = words.dropFirst() + ["\(ranks)", self.program] + arguments
        } else {
            process.executableURL = URL(filePath: self.program)
            process.arguments = arguments
        }
        process.currentDirectoryURL = URL(filePath: Self.repositoryPath)
        process.standardInput = try FileHandle(forReadingFrom: directory.appending(path: "stdin"))
        process.standardOutput = try FileHandle(
            forWritingTo: path.map { URL(filePath: $0) } ?? directory.appending(path: "stdout"))
        process.standardError = try FileHandle(forWritingTo: directory.appending(path: "stderr"))
        try process.run()
    }

    private func text(_ name: String) -> String {
        let data = FileManager.default.contents(atPath: directory.appending(path: name).path)
        return String(decoding: data ?? Data(), as: UTF8.self)
    }

    private func finish(before deadline: ContinuousClock.Instant) -> ProgramOutcome {
        var ranOutOfTime = false
        while process.isRunning {
            usleep(2000)
            if !ranOutOfTime, ContinuousClock.now > deadline {
                ranOutOfTime = true
                killAll()
            }
        }
        let status = process.terminationStatus
        return ProgramOutcome(
            status: process.terminationReason == .uncaughtSignal ? 128 + status : status, output: text("stdout"),
            errors: text("stderr"), ranOutOfTime: ranOutOfTime)
    }

    /// The text that the program has written to standard output so far.
    public var output: String { text("stdout") }
    /// The launched process: the program itself, or `Launch/local.sh`.
    public var processIdentifier: Int32 { process.processIdentifier }
    public var isRunning: Bool { process.isRunning }

    /// Waits until `condition` holds; returns false if the time has passed or the program has ended before that.
    public func wait(seconds: Double = 20, until condition: () -> Bool) -> Bool {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while !condition() {
            guard ContinuousClock.now < deadline, process.isRunning else { return false }
            usleep(5000)
        }
        return true
    }

    /// The process and its descendants, itself first.
    public var descendants: [Int32] {
        var parents: [Int32: Int32] = [:]
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            if let pid = Int32(entry), let parent = ProcessTable.parent(of: pid) { parents[pid] = parent }
        }
        var found = [process.processIdentifier]
        var next = 0
        while next < found.count {
            found += parents.filter { $0.value == found[next] }.keys
            next += 1
        }
        return found
    }

    /// The process identifiers of the program's ranks, by rank.
    public var ranks: [Int: Int32] {
        var ranks: [Int: Int32] = [:]
        for pid in descendants {
            guard (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/exe")) == program,
                let environment = FileManager.default.contents(atPath: "/proc/\(pid)/environ")
            else { continue }
            let variable = "OMPI_COMM_WORLD_RANK="
            let lines = environment.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            let line = lines.first { $0.hasPrefix(variable) }
            ranks[line.flatMap { Int($0.dropFirst(variable.count)) } ?? 0] = pid
        }
        return ranks
    }

    private func killAll() {
        for pid in descendants.reversed() { kill(pid, SIGKILL) }
    }
}

/// An error for a test that cannot run in its environment.
public struct ProgramFault: Error, CustomStringConvertible {
    public let description: String
}

/// Information about processes from `/proc`.
public enum ProcessTable {
    private static func fields(of pid: Int32) -> [Substring] {
        guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/stat") else { return [] }
        // The program's name comes first, in parentheses, and may contain any character.
        return String(decoding: data, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
    }

    /// The name of the program that a process runs, of which the system keeps 15 bytes; nil if it is not there.
    public static func name(of pid: Int32) -> String? {
        let data = FileManager.default.contents(atPath: "/proc/\(pid)/comm")
        return data.map { String(decoding: $0.dropLast(), as: UTF8.self) }
    }

    static func parent(of pid: Int32) -> Int32? {
        let fields = fields(of: pid)
        return fields.count > 1 ? Int32(fields[1]) : nil
    }

    /// Whether the process is running; a zombie, which only waits for its parent, is not.
    private static func isAlive(_ pid: Int32) -> Bool {
        guard let state = fields(of: pid).first else { return false }
        return state != "Z" && state != "X"
    }

    /// The resident bytes of a process; 0 if it does not exist.
    public static func residentByteCount(of pid: Int32) -> Int {
        let fields = fields(of: pid)
        return fields.count > 21 ? (Int(fields[21]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }

    /// The processes that have not ended after some seconds, with their command lines.
    ///
    /// The delay is needed because a killed process exists until the system has taken its memory back.
    public static func survivors(of pids: [Int32], after seconds: Double = 1) -> [String] {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while pids.contains(where: isAlive), ContinuousClock.now < deadline { usleep(10_000) }
        return pids.filter(isAlive).map { pid in
            let words = (FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") ?? Data()).split(separator: 0)
            return "\(pid): " + words.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
        }
    }
}

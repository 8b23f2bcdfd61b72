import Foundation
import Synchronization

/// What a finished program left.
public struct ProgramOutcome: Sendable {
    /// The exit status, or 128 and the number of the signal that ended it.
    public let status: Int32
    public let output: String
    public let errors: String
    /// Whether the watchdog had to end it.
    public let ranOutOfTime: Bool

    /// What the program itself wrote on standard error.
    ///
    /// Left out are the `mpirun` line that `Launch/local.sh` shows first, and what the event library inside mpirun
    /// sometimes says when it ends many ranks on a busy machine.
    public var errorLines: [String] {
        errors.split(separator: "\n").map(String.init).filter {
            !$0.hasPrefix("mpirun --quiet ") && !$0.hasPrefix("[warn] Epoll ")
        }
    }

    /// Standard output as JSON.
    public func json<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        try JSONDecoder().decode(type, from: Data(output.utf8))
    }
}

/// A program of ours that runs as a process, alone or as several ranks.
///
/// Output goes to files, so that nothing waits for a reader.
public final class ProgramRun {
    /// The folder of the built programs: that of this test bundle.
    public static let productsPath: String = {
        let bundle = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (bundle as NSString).deletingLastPathComponent
    }()
    /// The top of the repository.
    public static let repositoryPath = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        .standardized.path(percentEncoded: false).replacing(/\/$/, with: "")

    /// Ranks of two tests at once would only wait for each other, and times would say nothing.
    private static let turn = Mutex<Void>(())

    private let process = Process()
    private let program: String
    private let directory: URL

    /// Runs a program to its end.
    ///
    /// - Parameters:
    ///   - program: a product, such as `generate`.
    ///   - ranks: started by `Launch/local.sh`, or by what `TRIREME_TEST_LAUNCHER` says, if not nil.
    ///   - input: standard input; nothing if nil.
    ///   - path: where standard output goes instead of being kept.
    ///   - seconds: after so many the watchdog ends it.
    ///   - isShort: it computes nothing, so that it may run beside others.
    ///   - meanwhile: may look at the program and act on it while it runs.
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

    /// What it has written on standard output so far.
    public var output: String { text("stdout") }
    /// The launched process: the program itself, or `Launch/local.sh`.
    public var processIdentifier: Int32 { process.processIdentifier }
    public var isRunning: Bool { process.isRunning }

    /// Waits until `condition` holds; false when it still does not after so many seconds, or the program has ended.
    public func wait(seconds: Double = 20, until condition: () -> Bool) -> Bool {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while !condition() {
            guard ContinuousClock.now < deadline, process.isRunning else { return false }
            usleep(5000)
        }
        return true
    }

    /// The processes that come from it, itself first.
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

    /// The processes of its ranks, by rank.
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

/// A test cannot run as things are.
public struct ProgramFault: Error, CustomStringConvertible {
    public let description: String
}

/// What `/proc` says of processes.
public enum ProcessTable {
    private static func fields(of pid: Int32) -> [Substring] {
        guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/stat") else { return [] }
        // The program's name comes first, in parentheses, and may hold anything.
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

    /// Whether the process still works; one that only waits for its parent to look at it (a zombie) does not.
    private static func isAlive(_ pid: Int32) -> Bool {
        guard let state = fields(of: pid).first else { return false }
        return state != "Z" && state != "X"
    }

    /// Bytes of memory that a process has touched and not given back; 0 if it is not there.
    public static func residentByteCount(of pid: Int32) -> Int {
        let fields = fields(of: pid)
        return fields.count > 21 ? (Int(fields[21]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }

    /// Those of the processes that do not end, with their command lines.
    ///
    /// A process that was killed is there until the system has taken its memory back: they get so many seconds.
    public static func survivors(of pids: [Int32], after seconds: Double = 1) -> [String] {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while pids.contains(where: isAlive), ContinuousClock.now < deadline { usleep(10_000) }
        return pids.filter(isAlive).map { pid in
            let words = (FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") ?? Data()).split(separator: 0)
            return "\(pid): " + words.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
        }
    }
}

import ArgumentParser
import CProcess
@preconcurrency import Glibc

/// The version that `--version` prints, and that ranks compare.
public let triremeVersion = "0.1.0"

extension ParsableCommand {
    /// Parses the command line and runs; ends the process.
    ///
    /// From here on every signal that ends the program gives one line and a status (`cprocess_install`).
    ///
    /// Wrong usage gives one line. Under mpirun every rank sees the same mistake, so only rank 0 speaks; the others
    /// give it time to, because the first rank that ends ends the job.
    public static func start() -> Never {
        if let name = strdup(configuration.commandName ?? "trireme") { cprocess_install(name) }
        let speaks = cprocess_rank() <= 0
        do {
            var command = try parseAsRoot()
            try command.run()
            endProgram(status: 0)
        } catch {
            let code = exitCode(for: error).rawValue
            guard speaks else {
                usleep(300_000)
                Glibc.exit(code)
            }
            if code == 0 {
                print(fullMessage(for: error))
            } else if let code = error as? ExitCode {
                Glibc.exit(code.rawValue)
            } else {
                let line = message(for: error).split(separator: "\n").joined(separator: " ")
                complain("\(configuration.commandName ?? "trireme"): \(line) (see --help)")
            }
            endProgram(status: code)
        }
    }
}

/// Ends the process.
///
/// What was printed and could not be written, as on a full disk, makes a good end a bad one.
public func endProgram(status: Int32) -> Never {
    cprocess_have_spoken()
    if fflush(stdout) != 0 || ferror(stdout) != 0, status == 0 {
        complain("standard output cannot be written; its disk may be full")
        exit(65)
    }
    exit(status)
}

/// One line on standard error, written whole.
public func complain(_ line: String) {
    cprocess_say(line)
}

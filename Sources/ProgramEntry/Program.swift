import ArgumentParser
import CProcess
@preconcurrency import Glibc
import Messages

/// The version that `--version` prints and that ranks compare.
public let triremeVersion = "0.1.0"

extension ParsableCommand {
    /// Parses the command line, runs the command, and ends the process.
    ///
    /// From here on every signal that ends the program causes one line and a status (`cprocess_install`).
    ///
    /// A wrong command line causes one line. Under mpirun every rank sees the same mistake, so only rank 0 prints it;
    /// the others wait a moment before they end, because the first rank that ends also ends the job.
    public static func start() -> Never {
        let name = configuration.commandName ?? "trireme"
        // Never freed, because a signal handler reads it.
        if let kept = strdup(name) { cprocess_install(kept) }
        occupyClosedStreams()
        let speaks = cprocess_rank() <= 0
        func end(_ error: RunError) -> Never {
            complain("\(name): \(error)")
            endProgram(status: error.status.rawValue)
        }
        do {
            try checkArguments()
            var command = try parseAsRoot(joinedArguments())
            try command.run()
            endProgram(status: 0)
        } catch {
            let code = (error as? RunError)?.status.rawValue ?? exitCode(for: error).rawValue
            guard speaks else {
                usleep(300_000)
                Glibc.exit(code)
            }
            if let error = error as? RunError { end(error) }
            if code == 0 {
                do throws(RunError) {
                    try writeOut(fullMessage(for: error) + "\n")
                } catch {
                    end(error)
                }
            } else if let code = error as? ExitCode {
                Glibc.exit(code.rawValue)
            } else {
                let line = message(for: error).split(separator: "\n").joined(separator: " ")
                complain("\(name): \(escaped(line + hint(for: line))) (see --help)")
            }
            endProgram(status: code)
        }
    }

    /// Advice for a value that was parsed as an option, or an option that was parsed as a value.
    private static func hint(for line: String) -> String {
        func quoted(after prefix: String) -> String? {
            line.hasPrefix(prefix) ? String(line.dropFirst(prefix.count).prefix { $0 != " " && $0 != "'" }) : nil
        }
        let arguments = CommandLine.arguments
        if let option = quoted(after: "Missing value for '"), option.hasPrefix("-"),
            let place = arguments.firstIndex(of: option), place + 1 < arguments.count
        {
            return "; a value that begins with a dash is given as \(option)=\(arguments[place + 1])"
        }
        if let stray = quoted(after: "Unexpected argument '"), let place = arguments.firstIndex(of: stray), place > 2,
            arguments[place - 1].hasPrefix("-"), arguments[place - 2].hasPrefix("-")
        {
            return "; \(arguments[place - 1]) was taken for the value of \(arguments[place - 2])"
        }
        return ""
    }
}

/// The arguments, with `--option VALUE` joined to `--option=VALUE` if the parser would not take the value for one.
private func joinedArguments() -> [String] {
    var joined: [String] = []
    for argument in CommandLine.arguments.dropFirst() {
        if argument == "--" || argument.hasPrefix("---"), let option = joined.last, option.hasPrefix("--"),
            !option.contains("=")
        {
            joined[joined.count - 1] = "\(option)=\(argument)"
        } else {
            joined.append(argument)
        }
    }
    return joined
}

/// Ends the process.
///
/// If output could not be written, as on a full disk, a status of success becomes 65.
public func endProgram(status: Int32) -> Never {
    cprocess_have_spoken()
    if fflush(stdout) != 0 || ferror(stdout) != 0, status == 0 {
        let name = CommandLine.arguments.first?.split(separator: "/").last ?? "trireme"
        complain("\(name): standard output cannot be written; its disk may be full")
        exit(65)
    }
    exit(status)
}

/// Writes one line on standard error, in one piece.
public func complain(_ line: String) {
    cprocess_say(onOneLine(line))
}

import ArgumentParser
import Bootstrap
import ProgramEntry

@main struct Launcher {
    static func main() { Bench.start() }
}

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure limits, and how near to them a model runs.", version: triremeVersion,
        subcommands: [Limits.self, Run.self, Compare.self])

    func run() throws { throw ValidationError("Give a subcommand: limits, run or compare.") }

    /// Runs a subcommand's work; an error becomes one line and the matching exit status.
    static func answering(_ body: () throws -> Void) throws(RunError) {
        do {
            try body()
        } catch {
            throw RunError(ExitStatus(error), "\(error)")
        }
    }
}

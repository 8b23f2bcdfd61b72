import ArgumentParser
import Bootstrap
import Foundation
import ProgramEntry

/// Compares two files of figures, to show regressions.
struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare two files that `bench run --json` wrote: second over first.")

    @Argument(help: "The earlier figures.")
    var first: String

    @Argument(help: "The later figures.")
    var second: String

    func run() throws {
        try Bench.answering {
            let (old, new) = (try read(first), try read(second))
            try writeOut(columns(["decode", "its share", "prefill", "its share", "  run"]) + "\n")
            for (key, after) in new.sorted(by: { $0.key < $1.key }) {
                guard let before = old[key] else { continue }
                try writeOut(
                    columns([
                        ratio(after.decodeTokensPerSecond, before.decodeTokensPerSecond),
                        ratio(after.bandwidthShare, before.bandwidthShare),
                        ratio(after.prefillTokensPerSecond, before.prefillTokensPerSecond),
                        ratio(after.arithmeticShare, before.arithmeticShare),
                    ]) + "  " + key + "\n")
            }
            let missing = Set(old.keys).symmetricDifference(new.keys).sorted()
            if !missing.isEmpty { complain("only in one of the two: \(missing.joined(separator: "; "))") }
        }
    }

    private func ratio(_ after: Double, _ before: Double) -> String {
        before > 0 ? rounded(after / before, digits: 1000) : "-"
    }

    private func read(_ path: String) throws -> [String: RunFigures] {
        let lines = try readInput(path).split(separator: UInt8(ascii: "\n"))
        let figures = try lines.enumerated().map { number, line in
            do {
                return try JSONDecoder().decode(RunFigures.self, from: Data(line))
            } catch {
                throw RunError(.badInput, "\(path), line \(number + 1): it is no figures of bench run")
            }
        }
        return Dictionary(figures.map { ($0.key, $0) }) { $1 }
    }
}

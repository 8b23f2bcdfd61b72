import ArgumentParser
import Foundation
import ModelOptions
import ProgramEntry
import Sizing

@main struct Launcher {
    static func main() { Sizing.start() }
}

/// The program `sizing`, which says how many cards a model needs, how long its context may be, and why.
struct Sizing: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sizing",
        abstract: "Says how many cards a model needs and how long its context may be, and shows the arithmetic.",
        discussion: "A card is whatever one rank runs on: an accelerator, or a host's memory.",
        version: triremeVersion, subcommands: [Plan.self, Table.self, Verify.self, Models.self, Fit.self])

    /// Runs a subcommand's work; an error becomes one line and the matching exit status.
    static func answering(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as ValidationError {
            throw error
        } catch {
            let status: ExitStatus =
                switch error {
                case SizingError.noProfile: .missingInput
                case is SizingError: .badInput
                default: ExitStatus(modelError: error) ?? .defect
                }
            complain("sizing: \(error)")
            throw ExitCode(status.rawValue)
        }
    }
}

/// Reads the file or pipe that an option names.
func readData(_ path: String) throws -> Data { Data(try readInput(path)) }

/// The formats in which results are printed.
enum Format: String, CaseIterable, ExpressibleByArgument {
    case text
    case json
    case markdown
    case tsv
}

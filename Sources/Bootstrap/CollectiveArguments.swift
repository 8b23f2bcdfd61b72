import ArgumentParser
import Foundation
import MPICollectives
import ProgramEntry

/// Options of how ranks exchange data, for every program that runs on several ranks.
public struct CollectiveArguments: ParsableArguments, Sendable {
    @Option(help: "Seconds after which a silent rank, or one that others wait for, counts as lost.")
    var timeout = 60

    @Option(
        help: """
            As what sums over ranks travel: float32; bfloat16 or int8 (with a scale for 32 elements) over slow links. Those \
            round: answers then depend on the number of ranks.
            """)
    var allReduceDtype = "float32"

    @Option(
        help: ArgumentHelp(
            """
            Sizes at which all-reduces change their way: read from this file, or measured and written to it if it is not \
            there. Default: measured at each start.
            """, valueName: "file"))
    var allReduceTuning: String?

    public init() {}

    public func validate() throws {
        guard timeout >= 1, timeout <= 1 << 20 else {
            throw ValidationError("--timeout must be 1 or more, not \(timeout).")
        }
        guard WireType(rawValue: allReduceDtype) != nil else {
            throw ValidationError(
                "--all-reduce-dtype must be one of \(WireType.allCases.map(\.rawValue).joined(separator: ", ")), not "
                    + "'\(allReduceDtype)'.")
        }
    }

    /// The format in which sums of float32 travel between ranks.
    public var wireType: WireType { WireType(rawValue: allReduceDtype) ?? .float32 }

    /// How long a rank waits for others.
    public var patience: Duration { .seconds(timeout) }

    /// How long an operation waits for other ranks while a heartbeat watches them.
    ///
    /// It is a second longer than `patience`, so that the heartbeat is the first to report a lost rank: it knows the
    /// rank's host, and what the rank was doing.
    public var operationPatience: Duration { patience + .seconds(1) }

    /// Gives the options of collectives that are carried by `backend`.
    public func options(_ backend: Backend = .auto) -> CollectiveOptions {
        var options = CollectiveOptions(backend: backend, wireType: wireType)
        options.timeout = patience
        guard let path = allReduceTuning else { return options }
        options.savedTuning = {
            guard access(path, F_OK) == 0 else { return nil }
            let data = Data(try readInput(path, limit: 1 << 20))
            do {
                let tuning = try JSONDecoder().decode(AllReduceTuning.self, from: data)
                guard tuning.isValid else { throw CocoaError(.coderInvalidValue) }
                return tuning
            } catch {
                throw RunError(
                    .badInput, "\(path) does not hold the sizes of --all-reduce-tuning; delete it to measure them again"
                )
            }
        }
        options.saveTuning = { tuning in
            let file = try OutputFile(path, option: "--all-reduce-tuning")
            try JSONEncoder().encode(tuning).withUnsafeBytes { try file.write($0) }
            try file.commit()
        }
        return options
    }
}

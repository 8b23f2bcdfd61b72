import Engine
import Layers
import Logging
import ProgramEntry

extension Logger {
    /// Makes the logger of one rank: rank 0 reports what it does, and the others report only what is wrong.
    ///
    /// - Throws: `RunError` if there is no such level.
    init(rank: Int, level: String?) throws {
        self.init(label: "trireme.rank\(rank)", factory: { StreamLogHandler.standardError(label: $0) })
        logLevel = rank == 0 ? .info : .warning
        guard let level else { return }
        guard let chosen = Logger.Level(rawValue: level) else {
            let names = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw RunError(.usage, "--log-level must be one of \(names), not '\(level)'")
        }
        logLevel = chosen
    }
}

extension StepTrace {
    /// Prints the table of a traced step on standard error.
    func print(step: Int, rank: Int) {
        complain("rank \(rank), step \(step):")
        complain("  layer operation             shape                 bytes      time (us)")
        for entry in entries {
            let operation = entry.operation
            let layer = operation.layer.map(String.init) ?? ""
            let shape = operation.columns > 0 ? "\(operation.rows) x \(operation.columns)" : ""
            complain(
                "  \(layer.padded(to: 5)) \("\(operation.name)".padded(to: 21)) \(shape.padded(to: 18)) "
                    + "\(String(operation.byteCount).padded(to: 12)) \(Double(entry.duration / 100) / 10)")
        }
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}

extension Duration {
    /// The duration in seconds.
    public var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }

    /// The duration in seconds, rounded to two decimals.
    public var formattedSeconds: String { "\((seconds * 100).rounded() / 100)" }
}

import Foundation
import JSON
import Messages
import ProgramEntry
import Topology

extension ParallelPlan {
    /// Reads `--topology FILE`.
    public init(topology path: String) throws {
        let data = Data(try readInput(path))
        do {
            let value = try JSONValue(parsing: [UInt8](data), as: .strict)
            // A misspelt key would otherwise be ignored, as if it had been left out.
            if let other = value.members?.first(where: { CodingKeys(rawValue: $0.name) == nil }) {
                throw RunError(
                    .badInput,
                    "\(escaped(path)): a topology has no key \(quoted(other.name)); it has "
                        + CodingKeys.allCases.map(\.rawValue).joined(separator: ", "))
            }
            self = try JSONDecoder().decode(ParallelPlan.self, from: data)
        } catch let error as RunError {
            throw error
        } catch {
            let reason = (error as? JSONProblem).map { " (\($0))" } ?? ""
            throw RunError(
                .badInput,
                "\(escaped(path)) is no topology\(reason): it must be JSON like {\"tensor_parallel_size\": 2, "
                    + "\"pipeline_parallel_size\": 2, \"layers\": [12, 10], \"weights\": [2, 1, 1, 1]}")
        }
    }
}

import Foundation
import ProgramEntry
import Topology

extension ParallelPlan {
    /// Reads `--topology FILE`.
    public init(topology path: String) throws {
        let data = Data(try readInput(path))
        do {
            self = try JSONDecoder().decode(ParallelPlan.self, from: data)
        } catch {
            throw RunError(
                .badInput,
                "\(path) is no topology: it must be JSON like {\"tensor_parallel_size\": 2, \"pipeline_parallel_size\": 2, "
                    + "\"layers\": [12, 10], \"weights\": [2, 1, 1, 1]}")
        }
    }
}

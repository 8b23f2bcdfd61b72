import ProgramEntry
import TestSupport
import Testing
import Topology

@testable import ModelOptions

@Suite struct TopologyFileTests {
    @Test func filesAreReadStrictly() throws {
        let folder = try TemporaryFolder()
        func read(_ text: String) throws -> ParallelPlan {
            try ParallelPlan(topology: folder.write(text, to: "t.json"))
        }
        func refusal(_ text: String) -> String {
            do {
                _ = try read(text)
                return "read"
            } catch let error as RunError {
                return error.status == .badInput ? error.description : "\(error.status)"
            } catch {
                return "\(error)"
            }
        }
        let plan = try read(
            #"{"tensor_parallel_size": 2, "pipeline_parallel_size": 2, "layers": [12, 10], "weights": [2, 1, 1, 1]}"#)
        #expect(
            plan == ParallelPlan(tensorDegree: 2, pipelineDegree: 2, layerCounts: [12, 10], weights: [2, 1, 1, 1]))
        #expect(try read("{}") == ParallelPlan(tensorDegree: 1, pipelineDegree: 1))
        let misspelt = refusal(#"{"tensor_paralel_size\n": 2}"#)
        #expect(misspelt.contains(#""tensor_paralel_size\n""#) && misspelt.contains("tensor_parallel_size, pipeline"))
        for text in ["", "[]", "{", #"{"layers": 3}"#, #"{"layers": [1], "layers": [2]}"#, #"{"weights": ["a"]}"#] {
            #expect(refusal(text).contains("is no topology"), "\(text): \(refusal(text))")
        }
        #expect(throws: RunError.self) { try ParallelPlan(topology: "/nonesuch/\u{FFFD}") }
    }
}

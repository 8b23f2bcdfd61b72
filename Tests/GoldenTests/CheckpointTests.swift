import Foundation
import TestSupport
import Testing

/// The checkpoints under `Tests/Golden/checkpoints`, through `generate`, against what transformers computed.
@Suite(.serialized) struct CheckpointTests {
    static let directory = "\(ProgramRun.repositoryPath)/Tests/Golden/checkpoints"
    static let names =
        (try? FileManager.default.contentsOfDirectory(atPath: directory))?.sorted().filter {
            FileManager.default.fileExists(atPath: "\(directory)/\($0)/golden.json")
        } ?? []
    /// `GoldenModelTests` runs every checkpoint at every plan in one process; here each has one of them.
    static let plans = [Degrees(2, 1), Degrees(4, 1), Degrees(3, 1), Degrees(1, 2), Degrees(2, 2)]

    /// The most that a log-probability may be off.
    static let tolerance: Float = 2e-3
    /// Two best tokens that are nearer than this are a tie.
    static let tie: Float = 1e-3

    struct Golden: Decodable {
        let prompt_token_ids: [Int32]
        let prompt_logprobs: [Float?]
        let greedy_token_ids: [Int32]
        let greedy_logprobs: [Float]
        let top5: [[GenerateOutput.Candidate]]
    }

    @Test(arguments: zip(names, (0..<names.count).map { plans[$0 % plans.count] }))
    func agreesThroughProcesses(name: String, plan: Degrees) throws {
        let golden = try JSONDecoder().decode(
            Golden.self, from: Data(contentsOf: URL(filePath: "\(Self.directory)/\(name)/golden.json")))
        let outcome = try ProgramRun.run(
            "generate",
            [
                "--model", "\(Self.directory)/\(name)", "--dtype", "float32", "--prompt-token-ids",
                golden.prompt_token_ids.map(String.init).joined(separator: ","), "--max-tokens", "24",
                "--temperature", "0",
                "--ignore-eos", "--logprobs", "5", "--prompt-logprobs", "--format", "json", "--log-level", "error",
            ] + plan.arguments, ranks: plan.ranks)
        try #require(outcome.status == 0, "\(plan): \(outcome.errors)")
        #expect(outcome.errorLines == [], "\(plan)")
        let found: GenerateOutput = try outcome.json()
        #expect(found.promptTokenIDs == golden.prompt_token_ids)
        let prompt = largestDifference(try #require(found.promptLogProbabilities), golden.prompt_logprobs)
        #expect(prompt <= Self.tolerance, "\(plan): prompt log-probabilities are off by \(prompt)")
        try compareContinuation(try #require(found.outputs.first), golden, "\(plan)")
    }

    /// The largest difference; infinite where one list has a value and the other has none.
    private func largestDifference(_ found: [Float?], _ expected: [Float?]) -> Float {
        guard found.count == expected.count else { return .infinity }
        return zip(found, expected).map { found, expected in
            switch (found, expected) {
            case (nil, nil): 0
            case (let found?, let expected?): abs(found - expected)
            default: Float.infinity
            }
        }.max() ?? 0
    }

    private func compareContinuation(_ found: GenerateOutput.Sequence, _ golden: Golden, _ plan: String) throws {
        #expect(found.tokenIDs.count == golden.greedy_token_ids.count && found.finishReason == "length", "\(plan)")
        let steps = try #require(found.logProbabilities)
        var largest: Float = 0
        for (index, (step, expected)) in zip(steps, golden.top5).enumerated() {
            // Best against best, second against second: two that are near each other may change places.
            largest = max(largest, largestDifference(step.top.map(\.logProbability), expected.map(\.logProbability)))
            for candidate in expected {
                guard let same = step.top.first(where: { $0.id == candidate.id }) else { continue }
                largest = max(largest, abs(same.logProbability - candidate.logProbability))
            }
            guard found.tokenIDs[index] != golden.greedy_token_ids[index] else {
                largest = max(largest, abs(step.logProbability - golden.greedy_logprobs[index]))
                continue
            }
            let gap = expected[0].logProbability - expected[1].logProbability
            #expect(
                gap <= Self.tie,
                "\(plan): token \(index) is \(found.tokenIDs[index]), not \(golden.greedy_token_ids[index])")
            break
        }
        #expect(largest <= Self.tolerance, "\(plan): log-probabilities of the continuation are off by \(largest)")
    }

    /// The files are those that the manifest names.
    @Test func filesAreUnchanged() throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
        process.currentDirectoryURL = URL(filePath: Self.directory)
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        let manifest = try String(contentsOfFile: "\(Self.directory)/SHA256SUMS", encoding: .utf8)
        for name in Self.names {
            for file in try FileManager.default.contentsOfDirectory(atPath: "\(Self.directory)/\(name)") {
                #expect(manifest.contains("  \(name)/\(file)\n"), "\(name)/\(file) is not in the manifest")
            }
        }
    }
}

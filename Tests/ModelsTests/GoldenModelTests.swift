import Architectures
import Engine
import Foundation
import ModelOptions
import Sampling
import TestSupport
import Testing
import Topology
import Weights

/// A checkpoint with what transformers computed: one of `Tests/Golden/checkpoints`, or of the folder that the variable
/// `TRIREME_GOLDEN` names (`make golden`).
private struct GoldenModel: RunModel {
    static let collection = ProcessInfo.processInfo.environment["TRIREME_GOLDEN"]
    static let directory = collection ?? "\(ProgramRun.repositoryPath)/Tests/Golden/checkpoints"
    static let all: [GoldenModel] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.sorted().filter { FileManager.default.fileExists(atPath: "\(directory)/\($0)/golden.json") }
            .map { GoldenModel(description: $0) }
    }()

    struct Reference: Decodable {
        let prompt_token_ids: [Int32]
        let prompt_logprobs: [Float?]
        let greedy_token_ids: [Int32]
        let greedy_logprobs: [Float]
    }

    let description: String
    var path: String { "\(Self.directory)/\(description)" }

    func open() throws -> (decoder: DecoderConfiguration, names: TensorNames, weights: any WeightSource) {
        let model = try OpenedModel(named: path, seed: 0)
        return (model.decoder, model.names, model.weights)
    }

    /// Why the runtime does not compute such a model; nil if it does, or if the folder is damaged.
    ///
    /// A collection may hold models of every kind; what lies in the repository must run.
    var refusal: ConfigurationError? {
        guard Self.collection != nil else { return nil }
        do {
            _ = try open()
            return nil
        } catch let error as ConfigurationError {
            switch error {
            case .unsupported, .unknownFamily: return error
            case .malformed, .missingKey: return nil
            }
        } catch {
            return nil
        }
    }

    func reference() throws -> Reference {
        try JSONDecoder().decode(Reference.self, from: Data(contentsOf: URL(filePath: "\(path)/golden.json")))
    }
}

/// Runs golden checkpoints over plans with threads as ranks.
///
/// It checks in a second what `GoldenTests` checks with processes.
@Suite struct GoldenModelTests {
    static let plans = [(1, 1), (2, 1), (4, 1), (3, 1), (1, 2), (2, 2)].map {
        ParallelPlan(tensorDegree: $0.0, pipelineDegree: $0.1)
    }

    /// Between a token and its logits there are about 2,400 roundings of 2⁻²⁴, of sums of the order of one.
    static let tolerance: Float = 2e-4

    @Test(arguments: GoldenModel.all.filter { $0.refusal == nil })
    private func agreesAtEveryPlan(model: GoldenModel) throws {
        let golden = try model.reference()
        let (prompt, greedy) = (golden.prompt_token_ids, golden.greedy_token_ids)
        let text = prompt + greedy
        // The prompt is run in two pieces, then the reference's tokens one by one.
        let half = prompt.count / 2
        var steps: [[TinyRun.Chunk]] = [[(0, 0, Array(text[..<half]))], [(0, half, Array(text[half..<prompt.count]))]]
        steps += greedy.indices.dropLast().map { [(0, prompt.count + $0, [greedy[$0]])] }
        let expected = golden.prompt_logprobs.dropFirst().compactMap(\.self) + golden.greedy_logprobs
        for plan in Self.plans {
            var run = TinyRun(model: model, plan: plan)
            run.promptLength = prompt.count
            run.limits = StepLimits(tokenCount: 64, sequenceCount: 1, sequenceLength: text.count)
            let rows = try run.logits(steps)
            try #require(rows.count == expected.count && rows.count == text.count - 1)
            var worst: Float = 0
            for (index, row) in rows.enumerated() {
                let found = row.withUnsafeBufferPointer { logProbability(of: Int(text[index + 1]), in: $0) }
                worst = max(worst, abs(found - expected[index]))
            }
            #expect(
                worst <= Self.tolerance,
                "\(model), T \(plan.tensorDegree) P \(plan.pipelineDegree): off by \(worst)")
        }
    }

    @Test func foldersAreThereAndTheSkippedOnesAreNamed() {
        #expect(!GoldenModel.all.isEmpty, "\(GoldenModel.directory) holds no golden checkpoint")
        for model in GoldenModel.all {
            if let refusal = model.refusal { print("skipped: \(model): \(refusal)") }
        }
    }
}

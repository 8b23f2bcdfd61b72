import Engine
import Foundation
import Generation
import Topology

/// The plan of a run as JSON reports it.
public struct PlanReport: Encodable, Sendable {
    let tensorDegree: Int
    let pipelineDegree: Int
    let ranks: Int
    let threads: Int
    let kernels: String

    enum CodingKeys: String, CodingKey {
        case tensorDegree = "tensor_parallel_size"
        case pipelineDegree = "pipeline_parallel_size"
        case ranks
        case threads
        case kernels
    }

    public init(_ report: RunReport) {
        tensorDegree = report.plan.tensorDegree
        pipelineDegree = report.plan.pipelineDegree
        ranks = report.rankCount
        threads = report.threadCount
        kernels = report.kernels
    }
}

/// The times of a run as JSON reports them; a figure that was not measured is left out.
public struct TimingReport: Encodable, Sendable {
    let loadSeconds: Double
    let timeToFirstToken: Double?
    public let prefillTokensPerSecond: Double?
    public let decodeTokensPerSecond: Double?
    let decodePerToken: Double?
    let computePerToken: Double?
    let transferPerToken: Double?
    let waitPerToken: Double?

    enum CodingKeys: String, CodingKey {
        case loadSeconds = "load_s"
        case timeToFirstToken = "time_to_first_token_ms"
        case prefillTokensPerSecond = "prefill_tokens_per_s"
        case decodeTokensPerSecond = "decode_tokens_per_s"
        case decodePerToken = "decode_ms_per_token"
        case computePerToken = "compute_ms_per_token"
        case transferPerToken = "transfer_ms_per_token"
        case waitPerToken = "wait_ms_per_token"
    }

    public init(_ report: RunReport, statistics: Engine.Statistics, timeToFirstToken: Duration?) {
        loadSeconds = report.loadTime.seconds
        self.timeToFirstToken = timeToFirstToken.map { $0.seconds * 1e3 }
        prefillTokensPerSecond = statistics.prefill.tokensPerSecond
        let decode = statistics.decode
        decodeTokensPerSecond = decode.tokensPerSecond
        func perToken(_ time: Duration) -> Double? {
            decode.tokens > 0 ? time.seconds * 1e3 / Double(decode.tokens) : nil
        }
        decodePerToken = perToken(decode.total)
        computePerToken = perToken(decode.total - decode.wait - decode.transfer)
        transferPerToken = perToken(decode.transfer)
        waitPerToken = perToken(decode.wait)
    }

    /// The times as one line that people can read.
    public var summary: String {
        func shown(_ value: Double?, digits: Double = 10) -> String {
            value.map { "\(($0 * digits).rounded() / digits)" } ?? "-"
        }
        var parts = [
            "loaded in \(shown(loadSeconds, digits: 100)) s", "first token after \(shown(timeToFirstToken)) ms",
            "prefill \(shown(prefillTokensPerSecond)) tokens/s", "decode \(shown(decodeTokensPerSecond)) tokens/s",
        ]
        if let decodePerToken, let transferPerToken, let waitPerToken, decodePerToken > 0 {
            parts.append(
                "communication \(shown((transferPerToken + waitPerToken) / decodePerToken * 100)) % of decoding")
        }
        return parts.joined(separator: ", ")
    }
}

extension Engine.StepTimes {
    /// The number of tokens per second; nil if no step was taken.
    public var tokensPerSecond: Double? { tokens > 0 && total > .zero ? Double(tokens) / total.seconds : nil }
}

/// One prompt's results as JSON reports them.
public struct ResultReport: Encodable, Sendable {
    let promptTokenIDs: [Int32]
    let promptLogProbabilities: [Float?]?
    let outputs: [Output]
    let usage: Usage

    enum CodingKeys: String, CodingKey {
        case promptTokenIDs = "prompt_token_ids"
        case promptLogProbabilities = "prompt_logprobs"
        case outputs
        case usage
    }

    struct Output: Encodable, Sendable {
        let tokenIDs: [Int32]
        let text: String
        let finishReason: String?
        let logProbabilities: [Token]?
        let digests: [String]?

        enum CodingKeys: String, CodingKey {
            case tokenIDs = "token_ids"
            case text
            case finishReason = "finish_reason"
            case logProbabilities = "logprobs"
            case digests = "logits_digests"
        }
    }

    struct Token: Encodable, Sendable {
        let id: Int32
        let logProbability: Float?
        let top: [Candidate]

        enum CodingKeys: String, CodingKey {
            case id = "token_id"
            case logProbability = "logprob"
            case top
        }
    }

    /// A candidate token, encoded as a pair `[id, log-probability]`.
    struct Candidate: Encodable, Sendable {
        let id: Int
        let logProbability: Float

        func encode(to encoder: any Encoder) throws {
            var pair = encoder.unkeyedContainer()
            try pair.encode(id)
            try pair.encode(logProbability)
        }
    }

    struct Usage: Encodable, Sendable {
        let promptTokens: Int
        let completionTokens: Int

        enum CodingKeys: String, CodingKey {
            case promptTokens = "prompt_tokens"
            case completionTokens = "completion_tokens"
        }
    }

    public init(_ result: GenerationResult, options: GenerationOptions) {
        promptTokenIDs = result.promptTokens
        promptLogProbabilities = options.wantsPromptLogProbabilities ? result.promptLogProbabilities : nil
        outputs = result.outputs.map { output in
            Output(
                tokenIDs: output.tokens.map(\.id), text: output.text, finishReason: output.finishReason?.rawValue,
                logProbabilities: options.topLogProbabilityCount == nil
                    ? nil
                    : output.tokens.map { token in
                        Token(
                            id: token.id, logProbability: token.logProbability,
                            top: token.top.map { Candidate(id: $0.id, logProbability: $0.logProbability) })
                    },
                digests: options.wantsDigests ? output.tokens.map { hexadecimal($0.digest ?? 0) } : nil)
        }
        usage = Usage(
            promptTokens: result.promptTokens.count, completionTokens: result.outputs.reduce(0) { $0 + $1.tokens.count }
        )
    }
}

private func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}

/// The object that `generate --format json` prints.
public struct GenerateReport: Encodable, Sendable {
    let model: String
    let result: ResultReport
    let plan: PlanReport
    let timings: TimingReport
    let memory: [RankMemory]

    public init(model: String, result: ResultReport, plan: PlanReport, timings: TimingReport, memory: [RankMemory]) {
        self.model = model
        self.result = result
        self.plan = plan
        self.timings = timings
        self.memory = memory
    }

    enum CodingKeys: String, CodingKey {
        case model
        case plan
        case timings
        case memory
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(model, forKey: .model)
        try container.encode(plan, forKey: .plan)
        try container.encode(timings, forKey: .timings)
        try container.encode(memory, forKey: .memory)
        try result.encode(to: encoder)
    }
}

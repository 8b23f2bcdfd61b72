import Foundation

/// The output of `generate --format json`.
public struct GenerateOutput: Decodable, Sendable {
    public let promptTokenIDs: [Int32]
    public let promptLogProbabilities: [Float?]?
    public let outputs: [Sequence]
    public let usage: Usage
    /// The memory of each rank; nil in the lines of a batch, which have no `plan` and `timings` either.
    public let memory: [RankMemory]?
    public let plan: Plan?

    enum CodingKeys: String, CodingKey {
        case promptTokenIDs = "prompt_token_ids"
        case promptLogProbabilities = "prompt_logprobs"
        case outputs
        case usage
        case memory
        case plan
    }

    public struct Sequence: Decodable, Equatable, Sendable {
        public let tokenIDs: [Int32]
        public let text: String
        public let finishReason: String
        public let logProbabilities: [Token]?
        public let digests: [String]?

        enum CodingKeys: String, CodingKey {
            case tokenIDs = "token_ids"
            case text
            case finishReason = "finish_reason"
            case logProbabilities = "logprobs"
            case digests = "logits_digests"
        }
    }

    public struct Token: Decodable, Equatable, Sendable {
        public let id: Int32
        public let logProbability: Float
        public let top: [Candidate]

        enum CodingKeys: String, CodingKey {
            case id = "token_id"
            case logProbability = "logprob"
            case top
        }
    }

    /// A candidate token, encoded as `[id, log-probability]`.
    public struct Candidate: Decodable, Equatable, Sendable {
        public let id: Int32
        public let logProbability: Float

        public init(from decoder: any Decoder) throws {
            var pair = try decoder.unkeyedContainer()
            id = try pair.decode(Int32.self)
            logProbability = try pair.decode(Float.self)
        }
    }

    public struct Usage: Decodable, Equatable, Sendable {
        public let promptTokens: Int
        public let completionTokens: Int

        enum CodingKeys: String, CodingKey {
            case promptTokens = "prompt_tokens"
            case completionTokens = "completion_tokens"
        }
    }

    public struct RankMemory: Decodable, Sendable {
        public let rank: Int
        public let weightBytes: Int
        public let cacheBytes: Int
        public let activationBytes: Int
        public let peakResidentBytes: Int

        enum CodingKeys: String, CodingKey {
            case rank
            case weightBytes = "weight_bytes"
            case cacheBytes = "kv_cache_bytes"
            case activationBytes = "activation_bytes"
            case peakResidentBytes = "peak_rss_bytes"
        }
    }

    public struct Plan: Decodable, Equatable, Sendable {
        public let tensorDegree: Int
        public let pipelineDegree: Int
        public let ranks: Int
        public let threads: Int
        public let kernels: String

        enum CodingKeys: String, CodingKey {
            case tensorDegree = "tensor_parallel_size"
            case pipelineDegree = "pipeline_parallel_size"
            case ranks
            case threads
            case kernels
        }
    }
}

/// The degrees by which a model is divided over ranks, T × P.
public struct Degrees: CustomStringConvertible, Sendable {
    public let tensor: Int
    public let pipeline: Int

    public init(_ tensor: Int, _ pipeline: Int) {
        self.tensor = tensor
        self.pipeline = pipeline
    }

    /// The number of ranks; nil for one rank, which needs no launcher.
    public var ranks: Int? { tensor * pipeline == 1 ? nil : tensor * pipeline }
    public var arguments: [String] { ["-tp", "\(tensor)", "-pp", "\(pipeline)"] }
    public var description: String { "\(tensor)x\(pipeline)" }
}

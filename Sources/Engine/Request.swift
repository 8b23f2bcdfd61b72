import Sampling

/// A sequence to generate, in token numbers.
public struct Request: Sendable {
    public var promptTokens: [Int32]
    /// New tokens at most.
    public var maximumNewTokens: Int
    public var sampling: SamplingParameters
    public var seed: UInt64
    /// Tokens that end the sequence.
    public var endTokens: Set<Int32>
    /// Best tokens to report with each new one; nil: no log-probabilities.
    public var topLogProbabilityCount: Int?
    /// Whether the log-probability of every prompt token is wanted.
    public var wantsPromptLogProbabilities: Bool
    /// Whether each step's logits are hashed.
    public var wantsDigests: Bool
    /// Whether the sequence stays in the cache when it has finished, to be continued.
    public var staysInCache: Bool

    public init(
        promptTokens: [Int32], maximumNewTokens: Int, sampling: SamplingParameters = SamplingParameters(),
        seed: UInt64 = 0,
        endTokens: Set<Int32> = [], topLogProbabilityCount: Int? = nil, wantsPromptLogProbabilities: Bool = false,
        wantsDigests: Bool = false, staysInCache: Bool = false
    ) {
        self.promptTokens = promptTokens
        self.maximumNewTokens = maximumNewTokens
        self.sampling = sampling
        self.seed = seed
        self.endTokens = endTokens
        self.topLogProbabilityCount = topLogProbabilityCount
        self.wantsPromptLogProbabilities = wantsPromptLogProbabilities
        self.wantsDigests = wantsDigests
        self.staysInCache = staysInCache
    }
}

/// A number for a request, in order of submission.
public struct RequestID: Hashable, Sendable {
    public let rawValue: Int

    public init(rawValue: Int) {
        self.rawValue = rawValue
    }
}

/// Why a sequence ended, as the OpenAI interface names it.
public enum FinishReason: String, Sendable {
    /// As many tokens as allowed.
    case length
    /// An end token, or a stop string.
    case stop
}

/// What a step brought for one request.
public enum Event: Sendable {
    /// The log-probability of a prompt token given those before it.
    case promptLogProbability(RequestID, index: Int, value: Float)
    case token(RequestID, GeneratedToken)
    case finished(RequestID, FinishReason)
}

/// A new token and what was asked for about it.
public struct GeneratedToken: Sendable {
    public let id: Int32
    public let logProbability: Float?
    /// The best tokens of the step, best first.
    public let top: [(id: Int, logProbability: Float)]
    /// FNV-1a over the bits of the step's logits.
    public let digest: UInt64?
}

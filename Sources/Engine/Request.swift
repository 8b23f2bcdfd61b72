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

/// Why a request is refused when it is submitted: it could never be computed.
public enum RequestError: Error, Equatable, Sendable, CustomStringConvertible {
    /// It has no token to compute.
    case empty
    /// Its tokens leave no room within the longest sequence that the run is planned for.
    case tooLong(tokens: Int, limit: Int)
    /// The sequence that it continues is not in the cache any more.
    case notInCache

    public var description: String {
        switch self {
        case .empty: "the prompt is empty: give text, or at least one token id"
        case .tooLong(let tokens, let limit):
            "the sequence is \(tokens) tokens long, which leaves no room within \(limit); shorten it, or raise --max-model-len"
        case .notInCache: "the sequence to continue is not in the cache any more; submit all of it"
        }
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

import Sampling

/// A request to continue a sequence of token ids.
public struct Request: Sendable {
    public var promptTokens: [Int32]
    /// The largest number of new tokens.
    public var maximumNewTokens: Int
    public var sampling: SamplingParameters
    public var seed: UInt64
    /// Tokens that end the sequence.
    public var endTokens: Set<Int32>
    /// The number of most probable tokens to report with each new token; nil: no log-probabilities.
    public var topLogProbabilityCount: Int?
    /// Whether the log-probability of every prompt token is wanted.
    public var wantsPromptLogProbabilities: Bool
    /// Whether to report a hash of the logits with each new token.
    public var wantsDigests: Bool
    /// Whether the sequence stays in the cache after it has finished, so that a request can continue it.
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

/// Why a request, which could never be computed, is refused when it is submitted.
public enum RequestError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The request has no token to compute.
    case empty
    /// The tokens leave no room within the longest sequence that the run is planned for.
    case tooLong(tokens: Int, limit: Int)
    /// The sequence to continue is no longer in the cache, or cannot grow there.
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

/// The number of a request, in order of submission.
public struct RequestID: Hashable, Sendable {
    public let rawValue: Int

    public init(rawValue: Int) {
        self.rawValue = rawValue
    }
}

/// Why a sequence ended, as the OpenAI interface names it.
public enum FinishReason: String, Sendable {
    /// The sequence reached its largest number of tokens.
    case length
    /// An end token or a stop string ended the sequence.
    case stop
}

/// A result of a step for one request.
public enum Event: Sendable {
    /// The log-probability of a prompt token, given the tokens before it.
    case promptLogProbability(RequestID, index: Int, value: Float)
    case token(RequestID, GeneratedToken)
    case finished(RequestID, FinishReason)
}

/// A new token with the requested details.
public struct GeneratedToken: Sendable {
    public let id: Int32
    public let logProbability: Float?
    /// The most probable tokens at this position, most probable first.
    public let top: [(id: Int, logProbability: Float)]
    /// The FNV-1a hash of the bits of the logits.
    public let digest: UInt64?
}

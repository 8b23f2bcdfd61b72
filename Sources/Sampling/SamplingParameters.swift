/// How a token is drawn from logits.
///
/// The names and meanings are those of vLLM and Hugging Face.
public struct SamplingParameters: Equatable, Sendable {
    /// Divides the logits; 0 takes the best token.
    public var temperature: Float
    /// How many of the best tokens may be drawn; nil, 0 or -1: all.
    ///
    /// Tokens that tie with the last one stay.
    public var topK: Int?
    /// Only the best tokens that have this probability together may be drawn.
    public var topP: Float
    /// Only tokens that have at least this share of the best one's probability may be drawn.
    public var minP: Float
    /// Positive logits of tokens in prompt and output are divided by this, negative ones multiplied.
    public var repetitionPenalty: Float
    /// Taken from the logits of tokens in the output.
    public var presencePenalty: Float
    /// Taken from the logits of tokens in the output, once for each time they occur.
    public var frequencyPenalty: Float

    /// Parameters that change nothing unless they are given.
    public init(
        temperature: Float = 1, topK: Int? = nil, topP: Float = 1, minP: Float = 0, repetitionPenalty: Float = 1,
        presencePenalty: Float = 0, frequencyPenalty: Float = 0
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.presencePenalty = presencePenalty
        self.frequencyPenalty = frequencyPenalty
    }

    /// Throws if a parameter is outside of what it may be.
    ///
    /// Comparisons are so written that NaN is refused.
    public func validate() throws(SamplingError) {
        try check("temperature", temperature, temperature >= 0 && temperature.isFinite, "0 or more")
        if let topK {
            guard topK >= -1 else {
                throw .outOfRange(parameter: "top-k", value: "\(topK)", allowed: "1 or more, or 0 or -1 for all")
            }
        }
        try check("top-p", topP, topP > 0 && topP <= 1, "more than 0 and at most 1")
        try check("min-p", minP, minP >= 0 && minP <= 1, "within 0 to 1")
        try check(
            "repetition-penalty", repetitionPenalty, repetitionPenalty > 0 && repetitionPenalty.isFinite, "more than 0")
        try check("presence-penalty", presencePenalty, abs(presencePenalty) <= 2, "within -2 to 2")
        try check("frequency-penalty", frequencyPenalty, abs(frequencyPenalty) <= 2, "within -2 to 2")
    }

    private func check(_ name: String, _ value: Float, _ isAllowed: Bool, _ allowed: String) throws(SamplingError) {
        if !isAllowed { throw .outOfRange(parameter: name, value: "\(value)", allowed: allowed) }
    }

    /// Whether any penalty changes logits, so that tokens must be counted.
    var hasPenalties: Bool {
        repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0
    }

    /// The limit that top-k sets, nil if it sets none.
    var candidateLimit: Int? {
        guard let topK, topK > 0 else { return nil }
        return topK
    }
}

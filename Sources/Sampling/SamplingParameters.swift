/// The parameters by which a token is drawn from logits.
///
/// Their names and meanings are those of vLLM and Hugging Face.
public struct SamplingParameters: Equatable, Sendable {
    /// The divisor of the logits; 0 takes the best token.
    public var temperature: Float
    /// The number of best tokens that may be drawn; nil, 0 or -1: all.
    ///
    /// Tokens that tie with the last of them may be drawn too.
    public var topK: Int?
    /// The total probability of the best tokens that may be drawn.
    public var topP: Float
    /// The lowest probability, as a fraction of the best token's, with which a token may be drawn.
    public var minP: Float
    /// The divisor of positive logits, and the factor on negative ones, for tokens in the prompt or the output.
    public var repetitionPenalty: Float
    /// The number subtracted from the logits of tokens in the output.
    public var presencePenalty: Float
    /// The number subtracted from the logits of tokens in the output for each time that they occur.
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

    /// Throws if a parameter is outside its allowed range.
    ///
    /// The comparisons are written so that NaN is refused.
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

    /// The limit that top-k sets; nil if it sets none.
    var candidateLimit: Int? {
        guard let topK, topK > 0 else { return nil }
        return topK
    }
}

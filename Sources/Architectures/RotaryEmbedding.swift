import Foundation

/// Rotary position embedding: pairs of elements of a head turn by an angle that grows with the position.
///
/// Element i pairs with element i + d/2. Formulas: Su et al., arXiv:2104.09864; scalings as in Hugging Face
/// transformers (`modeling_rope_utils.py`), which published checkpoints refer to.
public struct RotaryEmbedding: Equatable, Sendable {
    public var theta: Double
    public var scaling: Scaling
    /// `max_position_embeddings`.
    public var trainedLength: Int

    public init(theta: Double, scaling: Scaling = .none, trainedLength: Int) {
        self.theta = theta
        self.scaling = scaling
        self.trainedLength = trainedLength
    }

    /// How angles are stretched for contexts longer than those trained on.
    public enum Scaling: Equatable, Sendable {
        case none
        /// Positions divided by the factor.
        case linear(factor: Double)
        /// A larger base for contexts longer than the trained ones ("NTK"): fixed at the longest context of the run.
        case dynamic(factor: Double)
        /// YaRN, Peng et al., arXiv:2309.00071.
        case yarn(Yarn)
        /// Llama 3.1: long wavelengths divided by the factor, short ones kept, a ramp between.
        case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalLength: Int)
    }

    /// YaRN's parameters, by the names of published configurations.
    public struct Yarn: Equatable, Sendable {
        public var factor: Double
        public var originalLength: Int
        public var betaFast: Double
        public var betaSlow: Double
        /// What cosines and sines are multiplied by.
        public var attentionFactor: Double
        /// Whether the ramp's ends are rounded to whole dimensions.
        public var truncates: Bool
    }

    /// What cosines and sines are multiplied by.
    public var amplitude: Float {
        if case .yarn(let yarn) = scaling { return Float(yarn.attentionFactor) }
        return 1
    }

    /// The angle per position of each pair of a head: `dimension / 2` numbers.
    public func frequencies(dimension: Int, maximumLength: Int) -> [Float] {
        var base = theta
        if case .dynamic(let factor) = scaling, maximumLength > trainedLength {
            let stretch = factor * Double(maximumLength) / Double(trainedLength) - (factor - 1)
            base *= pow(stretch, Double(dimension) / Double(dimension - 2))
        }
        let plain = (0..<dimension / 2).map { pow(base, -2 * Double($0) / Double(dimension)) }
        switch scaling {
        case .none, .dynamic:
            return plain.map { Float($0) }
        case .linear(let factor):
            return plain.map { Float($0 / factor) }
        case .yarn(let yarn):
            return yarn.scaled(plain, base: base, dimension: dimension)
        case .llama3(let factor, let low, let high, let original):
            return plain.map { frequency in
                let turns = Double(original) * frequency / (2 * .pi)
                if turns < low { return Float(frequency / factor) }
                if turns > high { return Float(frequency) }
                let smooth = (turns - low) / (high - low)
                return Float((1 - smooth) * frequency / factor + smooth * frequency)
            }
        }
    }
}

extension RotaryEmbedding.Yarn {
    fileprivate func scaled(_ plain: [Double], base: Double, dimension: Int) -> [Float] {
        /// The pair that makes so many turns over the original length.
        func pair(turns: Double) -> Double {
            Double(dimension) * log(Double(originalLength) / (turns * 2 * .pi)) / (2 * log(base))
        }
        var low = pair(turns: betaFast)
        var high = pair(turns: betaSlow)
        if truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        low = max(low, 0)
        high = min(high, Double(dimension - 1))
        if low == high { high += 0.001 }
        return plain.enumerated().map { index, frequency in
            let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
            return Float(frequency / factor * ramp + frequency * (1 - ramp))
        }
    }
}

extension RotaryEmbedding {
    /// Lengths of contexts that a configuration may name.
    private static let lengths = 1...1 << 30

    /// Reads both forms: `rope_parameters`, and the older `rope_theta` with `rope_scaling` (`type` or `rope_type`).
    public init(_ file: ConfigurationFile) throws(ConfigurationError) {
        let lengths = Self.lengths
        trainedLength = try file.integer("max_position_embeddings", in: lengths)
        let key = file.has("rope_parameters") ? "rope_parameters" : "rope_scaling"
        let parameters = try file.optionalObject(key)
        for holder in [file, parameters] {
            guard let holder, try holder.optionalNumber("partial_rotary_factor", in: 0...1) ?? 1 != 1 else { continue }
            throw holder.unsupported("partial_rotary_factor", "only whole heads are rotated")
        }
        let thetas = 1.0...1e15
        let ownTheta = try parameters?.optionalNumber("rope_theta", in: thetas)
        let sharedTheta = try file.optionalNumber("rope_theta", in: thetas)
        theta = ownTheta ?? sharedTheta ?? 10_000
        scaling = .none
        guard let parameters else { return }
        let newKind = try parameters.optionalString("rope_type")
        let oldKind = try parameters.optionalString("type")
        let kind = newKind ?? oldKind ?? "default"
        let factors = 1.0...1e6
        let ownOriginal = try parameters.optionalInteger("original_max_position_embeddings", in: lengths)
        let sharedOriginal = try file.optionalInteger("original_max_position_embeddings", in: lengths)
        let original = ownOriginal ?? sharedOriginal
        switch kind {
        case "default":
            scaling = .none
        case "linear":
            scaling = .linear(factor: try parameters.number("factor", in: factors))
        case "dynamic":
            // The reference does not look at `original_max_position_embeddings` here.
            scaling = .dynamic(factor: try parameters.number("factor", in: factors))
        case "llama3":
            guard let original else {
                throw parameters.unsupported("original_max_position_embeddings", "llama3 scaling needs it")
            }
            let low = try parameters.number("low_freq_factor", in: 1e-3...1e6)
            let high = try parameters.number("high_freq_factor", in: 1e-3...1e6)
            guard high > low else {
                throw parameters.unsupported("high_freq_factor", "it must be above low_freq_factor")
            }
            scaling = .llama3(
                factor: try parameters.number("factor", in: factors), lowFrequencyFactor: low,
                highFrequencyFactor: high,
                originalLength: original)
        case "yarn":
            guard theta > 1 else { throw parameters.unsupported("rope_theta", "yarn scaling needs a base above 1") }
            let originalLength = original ?? trainedLength
            let given = try parameters.optionalNumber("factor", in: factors)
            let factor = given ?? max(1, Double(trainedLength) / Double(originalLength))
            func amplitude(_ multiplier: Double) -> Double { factor <= 1 ? 1 : 0.1 * multiplier * log(factor) + 1 }
            var attentionFactor = amplitude(1)
            let range = 0.0...1e3
            if let given = try parameters.optionalNumber("attention_factor", in: range) {
                attentionFactor = given
            } else if let mscale = try parameters.optionalNumber("mscale", in: range),
                let all = try parameters.optionalNumber("mscale_all_dim", in: range), mscale != 0, all != 0
            {
                attentionFactor = amplitude(mscale) / amplitude(all)
            }
            scaling = .yarn(
                Yarn(
                    factor: factor, originalLength: originalLength,
                    betaFast: try parameters.optionalNumber("beta_fast", in: 1e-3...1e6) ?? 32,
                    betaSlow: try parameters.optionalNumber("beta_slow", in: 1e-3...1e6) ?? 1,
                    attentionFactor: attentionFactor, truncates: try parameters.optionalBool("truncate") ?? true))
        default:
            throw parameters.unsupported(
                "rope_type",
                "\(quoted(kind)) is not supported; supported are default, linear, dynamic, yarn and llama3")
        }
    }

    /// The longest context that the scaling is meant for.
    var reach: Int {
        let stretched =
            switch scaling {
            case .none, .linear, .llama3: trainedLength
            case .dynamic(let factor): Int(factor * Double(trainedLength))
            case .yarn(let yarn): Int(yarn.factor * Double(yarn.originalLength))
            }
        return min(max(trainedLength, stretched), Self.lengths.upperBound)
    }
}

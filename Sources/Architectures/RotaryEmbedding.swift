import Foundation

/// Rotary position embedding: pairs of features of a head are rotated by angles proportional to the position.
///
/// Formulas: Su et al., arXiv:2104.09864; scalings as in Hugging Face
/// transformers (`modeling_rope_utils.py`), which published checkpoints refer to.
public struct RotaryEmbedding: Hashable, Sendable {
    public var theta: Double
    public var scaling: Scaling
    /// `max_position_embeddings`.
    public var trainedLength: Int

    public init(theta: Double, scaling: Scaling = .none, trainedLength: Int) {
        self.theta = theta
        self.scaling = scaling
        self.trainedLength = trainedLength
    }

    /// How angles are scaled for contexts longer than the trained length.
    public enum Scaling: Hashable, Sendable {
        case none
        /// Positions are divided by the factor.
        case linear(factor: Double)
        /// A larger base for prompts longer than the trained length ("dynamic NTK").
        case dynamic(factor: Double)
        /// A base that grows with each doubling of the prompt beyond a length (the first Qwen, `use_dynamic_ntk`).
        case doubling(length: Int)
        /// The angles of some of the pairs that a whole head would have; the others do not turn (Gemma 4).
        case proportional(pairs: Int)
        /// YaRN, Peng et al., arXiv:2309.00071.
        case yarn(Yarn)
        /// Llama 3.1: low frequencies are divided by the factor, high ones are kept, with a ramp between.
        case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalLength: Int)
        /// LongRoPE, Ding et al., arXiv:2402.13753: a factor per pair, with a second set for prompts longer than the
        /// original length.
        case longRope(LongRope)
    }

    /// YaRN's parameters, by the names of published configurations.
    public struct Yarn: Hashable, Sendable {
        public var factor: Double
        public var originalLength: Int
        public var betaFast: Double
        public var betaSlow: Double
        /// The factor on cosines and sines.
        public var attentionFactor: Double
        /// Whether the ramp's ends are rounded to whole dimensions.
        public var truncates: Bool
    }

    /// LongRoPE's parameters, by the names of published configurations.
    public struct LongRope: Hashable, Sendable {
        public var shortFactors: [Double]
        public var longFactors: [Double]
        public var originalLength: Int
        /// The factor on cosines and sines.
        public var attentionFactor: Double
    }

    /// The factor on cosines and sines.
    public var amplitude: Float {
        switch scaling {
        case .yarn(let yarn): Float(yarn.attentionFactor)
        case .longRope(let longRope): Float(longRope.attentionFactor)
        case .none, .linear, .dynamic, .doubling, .proportional, .llama3: 1
        }
    }

    /// The class of a prompt's length: prompts of one class have the same angles.
    ///
    /// The prompt decides, and new tokens do not change the class. So a sequence that is put back and computed again
    /// gives the same bits. Transformers chooses by the length of the sequence so far.
    public func lengthClass(promptLength: Int) -> Int {
        switch scaling {
        case .none, .linear, .yarn, .llama3, .proportional: 0
        case .dynamic: promptLength > trainedLength ? promptLength : 0
        case .doubling(let length):
            promptLength > length ? Int(log2(Double(promptLength) / Double(length)).rounded(.up)) : 0
        case .longRope(let longRope): promptLength > longRope.originalLength ? 1 : 0
        }
    }

    /// The angle per position of each pair of a head, for prompts of a class: `dimension / 2` numbers.
    public func frequencies(dimension: Int, lengthClass: Int) -> [Float] {
        var base = theta
        var stretch = 1.0
        if case .dynamic(let factor) = scaling, lengthClass > 0 {
            stretch = factor * Double(lengthClass) / Double(trainedLength) - (factor - 1)
        }
        if case .doubling = scaling, lengthClass > 0 { stretch = exp2(Double(lengthClass) + 1) - 1 }
        if stretch != 1 { base *= pow(stretch, Double(dimension) / Double(dimension - 2)) }
        let plain = (0..<dimension / 2).map { pow(base, -2 * Double($0) / Double(dimension)) }
        switch scaling {
        case .none, .dynamic, .doubling:
            return plain.map { Float($0) }
        case .proportional(let pairs):
            return plain.enumerated().map { $0 < pairs ? Float($1) : 0 }
        case .longRope(let longRope):
            let factors = lengthClass > 0 ? longRope.longFactors : longRope.shortFactors
            return zip(plain, factors).map { Float($0 / $1) }
        case .linear(let factor):
            return plain.map { Float($0 / factor) }
        case .yarn(let yarn):
            return yarn.scaled(plain, base: base, dimension: dimension)
        case .llama3(let factor, let low, let high, let original):
            return plain.map { frequency in
                let turns = Double(original) * frequency / (2 * .pi)
                if turns <= low { return Float(frequency / factor) }
                if turns >= high { return Float(frequency) }
                let smooth = (turns - low) / (high - low)
                return Float((1 - smooth) * frequency / factor + smooth * frequency)
            }
        }
    }
}

extension RotaryEmbedding.Yarn {
    fileprivate func scaled(_ plain: [Double], base: Double, dimension: Int) -> [Float] {
        /// The fractional index of the pair that makes `turns` turns over the original length.
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

import Foundation
import Messages

// Reads rotary parameters from a configuration as transformers 5 does
// (`PreTrainedConfig.convert_rope_params_to_dict` and `standardize_rope_params`).

/// How a family's files spell LongRoPE.
struct LongRopeSpelling {
    /// The types of scaling that mean it.
    var names: Set = ["longrope"]
    /// The original length if the file gives none; nil: the trained length.
    var originalLength: Int?
}

extension RotaryEmbedding {
    /// Context lengths that a configuration may give.
    private static let lengths = 1...1 << 30
    private static let thetas = 1.0...1e15
    private static let factors = 1.0...1e6

    /// Keys that parameterize a kind of scaling, and therefore require a type.
    private static let scalingKeys = [
        "factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow",
        "attention_factor", "mscale", "mscale_all_dim", "truncate", "short_factor", "long_factor",
    ]

    /// Reads `rope_parameters`, and the older `rope_theta` with `rope_scaling` (`type` or `rope_type`).
    ///
    /// If both objects are present, `rope_scaling` counts unless it is empty, because users add it to extend a model's
    /// context. If it has no base, the base is the file's own, else that of `rope_parameters`.
    ///
    /// - Parameters:
    ///   - trainedLength: the longest context that the model was trained on.
    ///   - thetaKey: the key of the base outside these objects.
    ///   - defaultTheta: the base if the file gives none.
    ///   - kind: the kind of layer to read if the file gives parameters by kind; nil: all kinds must be equal.
    ///   - longRope: how the family spells LongRoPE.
    init(
        _ file: ConfigurationFile, trainedLength: Int, thetaKey: String = "rope_theta", defaultTheta: Double = 10_000,
        kind: LayerKind? = nil, longRope: LongRopeSpelling = LongRopeSpelling()
    ) throws(ConfigurationError) {
        let scaling = try Self.byLayerKind("rope_scaling", of: file, kind)
        let parameters = try Self.byLayerKind("rope_parameters", of: file, kind)
        let chosen = scaling.isEmpty ? parameters : scaling
        let sharedTheta = try file.optionalNumber(thetaKey, in: Self.thetas)
        let otherTheta = try parameters.first?.optionalNumber("rope_theta", in: Self.thetas)
        self.init(theta: sharedTheta ?? defaultTheta, trainedLength: trainedLength)
        var read: RotaryEmbedding?
        for object in chosen {
            let own = try object.optionalNumber("rope_theta", in: Self.thetas)
            var rotary = RotaryEmbedding(
                theta: own ?? sharedTheta ?? otherTheta ?? defaultTheta, trainedLength: trainedLength)
            rotary.scaling = try Self.scaling(object, of: file, rotary, longRope)
            guard read == nil || read == rotary else {
                throw file.unsupported(
                    scaling.isEmpty ? "rope_parameters" : "rope_scaling",
                    "kinds of layers have different rotary parameters, which this family does not have")
            }
            read = rotary
        }
        if let read { self = read }
    }

    /// The fraction of a head's features that is rotated; nil if the file does not give it.
    static func partialFactor(_ file: ConfigurationFile) throws(ConfigurationError) -> Double? {
        var found: Double?
        for key in ["rope_parameters", "rope_scaling"] {
            for object in try byLayerKind(key, of: file, nil) {
                found = try object.optionalNumber("partial_rotary_factor", in: 0...1) ?? found
            }
        }
        return try file.optionalNumber("partial_rotary_factor", in: 0...1) ?? found
    }

    /// The parameter objects under a key.
    ///
    /// There is one, or one for each kind of layer (or only the wanted kind), or none if the key is missing or empty.
    private static func byLayerKind(
        _ key: String, of file: ConfigurationFile, _ wanted: LayerKind?
    ) throws(ConfigurationError) -> [ConfigurationFile] {
        guard let object = try file.optionalObject(key), !object.keys.isEmpty else { return [] }
        let kinds = object.keys.filter(object.isObject)
        guard !kinds.isEmpty else { return [object] }
        if let other = object.keys.first(where: { !kinds.contains($0) }) {
            throw object.unsupported(other, "it stands beside parameters of kinds of layers; give it to each of them")
        }
        var objects: [ConfigurationFile] = []
        for kind in kinds where wanted == nil || wanted?.rawValue == kind {
            if let part = try object.optionalObject(kind) { objects.append(part) }
        }
        return objects
    }

    /// Reads the scaling from an object of rotary parameters.
    ///
    /// - Parameter rotary: the base and the trained length; its scaling is not set yet.
    private static func scaling(
        _ parameters: ConfigurationFile, of file: ConfigurationFile, _ rotary: RotaryEmbedding,
        _ longRope: LongRopeSpelling
    ) throws(ConfigurationError) -> Scaling {
        let newKind = try parameters.optionalString("rope_type")
        let oldKind = try parameters.optionalString("type")
        let ownOriginal = try parameters.optionalInteger("original_max_position_embeddings", in: lengths)
        let sharedOriginal = try file.optionalInteger("original_max_position_embeddings", in: lengths)
        let original = ownOriginal ?? sharedOriginal
        switch newKind ?? oldKind {
        case .some(let kind) where longRope.names.contains(kind):
            let length = original ?? longRope.originalLength ?? rotary.trainedLength
            return .longRope(try self.longRope(parameters, original: length, rotary))
        case nil:
            let isPlain = try parameters.optionalNumber("factor", in: 0...1e6) ?? 1 == 1
            let isWhole = ownOriginal ?? rotary.trainedLength == rotary.trainedLength
            let harmless: Set = isPlain && isWhole ? ["factor", "original_max_position_embeddings"] : []
            guard let key = scalingKeys.first(where: { parameters.has($0) && !harmless.contains($0) }) else {
                return .none
            }
            throw parameters.unsupported(
                "rope_type",
                "it is missing, and \(key) has no meaning without it; give default, linear, dynamic, yarn or llama3")
        case "default":
            return .none
        case "linear":
            return .linear(factor: try parameters.number("factor", in: factors))
        case "dynamic":
            // The reference ignores `original_max_position_embeddings` here.
            return .dynamic(factor: try parameters.number("factor", in: factors))
        case "llama3":
            guard let original else {
                throw parameters.unsupported("original_max_position_embeddings", "llama3 scaling needs it")
            }
            let low = try parameters.number("low_freq_factor", in: 1e-3...1e6)
            let high = try parameters.number("high_freq_factor", in: 1e-3...1e6)
            guard high >= low else {
                throw parameters.unsupported("high_freq_factor", "it must not be below low_freq_factor")
            }
            return .llama3(
                factor: try parameters.number("factor", in: factors), lowFrequencyFactor: low,
                highFrequencyFactor: high, originalLength: original)
        case "yarn":
            return .yarn(try yarn(parameters, original: original ?? rotary.trainedLength, rotary))
        case .some(let kind):
            throw parameters.unsupported(
                "rope_type",
                "\(quoted(kind)) is not known; known are default, linear, dynamic, yarn, llama3 and longrope")
        }
    }

    private static func longRope(
        _ parameters: ConfigurationFile, original: Int, _ rotary: RotaryEmbedding
    ) throws(ConfigurationError) -> LongRope {
        let given = try parameters.optionalNumber("factor", in: factors)
        let factor = given ?? Double(rotary.trainedLength) / Double(original)
        var attentionFactor = factor <= 1 || original < 2 ? 1 : (1 + log(factor) / log(Double(original))).squareRoot()
        if let given = try parameters.optionalNumber("attention_factor", in: 0...1e3) { attentionFactor = given }
        return LongRope(
            shortFactors: try parameters.numbers("short_factor", in: 1e-3...1e6),
            longFactors: try parameters.numbers("long_factor", in: 1e-3...1e6), originalLength: original,
            attentionFactor: attentionFactor)
    }

    private static func yarn(
        _ parameters: ConfigurationFile, original: Int, _ rotary: RotaryEmbedding
    ) throws(ConfigurationError) -> Yarn {
        guard rotary.theta > 1 else { throw parameters.unsupported("rope_theta", "yarn scaling needs a base above 1") }
        let given = try parameters.optionalNumber("factor", in: factors)
        let factor = given ?? max(1, Double(rotary.trainedLength) / Double(original))
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
        return Yarn(
            factor: factor, originalLength: original,
            betaFast: try parameters.optionalNumber("beta_fast", in: 1e-3...1e6) ?? 32,
            betaSlow: try parameters.optionalNumber("beta_slow", in: 1e-3...1e6) ?? 1,
            attentionFactor: attentionFactor, truncates: try parameters.optionalBool("truncate") ?? true)
    }

    /// The longest context that the scaling is meant for, which vLLM takes as the model's limit.
    var reach: Int {
        let stretched =
            switch scaling {
            case .none, .llama3, .longRope, .doubling, .proportional: trainedLength
            case .linear(let factor), .dynamic(let factor): Int(factor * Double(trainedLength))
            case .yarn(let yarn): Int(yarn.factor * Double(yarn.originalLength))
            }
        return min(max(trainedLength, stretched), Self.lengths.upperBound)
    }
}

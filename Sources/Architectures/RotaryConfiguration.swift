import Foundation
import Messages

// How a configuration says that angles are made; as transformers 5 reads it (`PreTrainedConfig.convert_rope_params_to_dict`
// and `standardize_rope_params`).

extension RotaryEmbedding {
    /// Lengths of contexts that a configuration may name.
    private static let lengths = 1...1 << 30
    private static let thetas = 1.0...1e15
    private static let factors = 1.0...1e6

    /// Keys that say how angles are stretched, and so need a type.
    private static let scalingKeys = [
        "factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow",
        "attention_factor", "mscale", "mscale_all_dim", "truncate", "short_factor", "long_factor",
    ]

    /// Reads `rope_parameters`, and the older `rope_theta` with `rope_scaling` (`type` or `rope_type`).
    ///
    /// Where both are there, `rope_scaling` counts unless it is empty: who stretches a model's contexts adds it. It takes the
    /// base from the other if it has none. Parameters by kind of layer are read if all kinds have the same.
    ///
    /// - Parameter defaultLength: `max_position_embeddings` of a file of this family that does not give it.
    public init(_ file: ConfigurationFile, defaultLength: Int) throws(ConfigurationError) {
        let known = try file.optionalInteger("max_position_embeddings", in: Self.lengths)
        // What the first conversions of Llama call it.
        let old = try file.optionalInteger("max_sequence_length", in: Self.lengths)
        let trainedLength = known ?? old ?? defaultLength
        let scaling = try Self.byLayerKind("rope_scaling", of: file)
        let parameters = try Self.byLayerKind("rope_parameters", of: file)
        let chosen = scaling.isEmpty ? parameters : scaling
        let sharedTheta = try file.optionalNumber("rope_theta", in: Self.thetas)
        let otherTheta = try parameters.first?.optionalNumber("rope_theta", in: Self.thetas)
        for holder in [file] + scaling + parameters {
            guard try holder.optionalNumber("partial_rotary_factor", in: 0...1) ?? 1 != 1 else { continue }
            throw holder.unsupported("partial_rotary_factor", "only whole heads are rotated")
        }
        self.init(theta: sharedTheta ?? 10_000, trainedLength: trainedLength)
        var read: RotaryEmbedding?
        for object in chosen {
            let own = try object.optionalNumber("rope_theta", in: Self.thetas)
            var rotary = RotaryEmbedding(
                theta: own ?? sharedTheta ?? otherTheta ?? 10_000, trainedLength: trainedLength)
            rotary.scaling = try Self.scaling(object, of: file, rotary)
            guard read == nil || read == rotary else {
                throw file.unsupported(
                    scaling.isEmpty ? "rope_parameters" : "rope_scaling",
                    "kinds of layers have different rotary parameters, which is not supported")
            }
            read = rotary
        }
        if let read { self = read }
    }

    /// The objects that a key holds: one, one for each kind of layer, or none if it is missing or empty.
    private static func byLayerKind(
        _ key: String, of file: ConfigurationFile
    ) throws(ConfigurationError) -> [ConfigurationFile] {
        guard let object = try file.optionalObject(key), !object.keys.isEmpty else { return [] }
        let kinds = object.keys.filter(object.isObject)
        guard !kinds.isEmpty else { return [object] }
        if let other = object.keys.first(where: { !kinds.contains($0) }) {
            throw object.unsupported(other, "it stands beside parameters of kinds of layers; give it to each of them")
        }
        var objects: [ConfigurationFile] = []
        for kind in kinds {
            if let part = try object.optionalObject(kind) { objects.append(part) }
        }
        return objects
    }

    /// How angles are stretched.
    ///
    /// - Parameter rotary: base and length, without scaling yet.
    private static func scaling(
        _ parameters: ConfigurationFile, of file: ConfigurationFile, _ rotary: RotaryEmbedding
    ) throws(ConfigurationError) -> Scaling {
        let newKind = try parameters.optionalString("rope_type")
        let oldKind = try parameters.optionalString("type")
        let ownOriginal = try parameters.optionalInteger("original_max_position_embeddings", in: lengths)
        let sharedOriginal = try file.optionalInteger("original_max_position_embeddings", in: lengths)
        let original = ownOriginal ?? sharedOriginal
        switch newKind ?? oldKind {
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
            // The reference does not look at `original_max_position_embeddings` here.
            return .dynamic(factor: try parameters.number("factor", in: factors))
        case "llama3":
            guard let original else {
                throw parameters.unsupported("original_max_position_embeddings", "llama3 scaling needs it")
            }
            let low = try parameters.number("low_freq_factor", in: 1e-3...1e6)
            let high = try parameters.number("high_freq_factor", in: 1e-3...1e6)
            guard high > low else {
                throw parameters.unsupported("high_freq_factor", "it must be above low_freq_factor")
            }
            return .llama3(
                factor: try parameters.number("factor", in: factors), lowFrequencyFactor: low,
                highFrequencyFactor: high, originalLength: original)
        case "yarn":
            return .yarn(try yarn(parameters, original: original ?? rotary.trainedLength, rotary))
        case .some(let kind):
            throw parameters.unsupported(
                "rope_type",
                "\(quoted(kind)) is not supported; supported are default, linear, dynamic, yarn and llama3")
        }
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

    /// The longest context that the scaling is meant for: what vLLM takes for a model's limit.
    var reach: Int {
        let stretched =
            switch scaling {
            case .none, .llama3: trainedLength
            case .linear(let factor), .dynamic(let factor): Int(factor * Double(trainedLength))
            case .yarn(let yarn): Int(yarn.factor * Double(yarn.originalLength))
            }
        return min(max(trainedLength, stretched), Self.lengths.upperBound)
    }
}

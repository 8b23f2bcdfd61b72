/// How a family's checkpoints name their tensors.
public struct TensorNames: Sendable {
    /// The module's name, without `.weight` or `.bias`.
    public let module: @Sendable (ParameterName) -> String
    /// What comes before a layer's number in the names of its tensors.
    let layerPrefix: String

    /// The layer whose tensor it is; nil for tensors outside of layers.
    public func layer(of tensor: String) -> Int? {
        guard tensor.hasPrefix(layerPrefix) else { return nil }
        return Int(tensor.dropFirst(layerPrefix.count).prefix { $0 != "." })
    }

    /// Why a tensor that is no parameter of the model changes no answer; nil where that is not known.
    public func unusedKind(of tensor: String, layerCount: Int) -> UnusedTensorKind? {
        if let layer = layer(of: tensor), layer >= layerCount { return .beyondTheLast }
        return UnusedTensorKind.known.first { $0.matches(tensor) }
    }

    /// The names of Llama in Hugging Face's transformers, which most families share.
    public static let huggingFace = TensorNames(
        module: { name in
            switch name {
            case .embedding: "model.embed_tokens"
            case .finalNorm: "model.norm"
            case .head: "lm_head"
            case .layer(let layer, let part): "model.layers.\(layer).\(part.rawValue)"
            case .companion(let name): name
            }
        },
        layerPrefix: "model.layers.")
}

/// A kind of tensor that checkpoints hold and decoding does not need.
public struct UnusedTensorKind: Sendable {
    /// Why it is not needed, in a few words for a warning.
    public let reason: String
    /// Whether it is so usual that nobody needs to hear of it.
    public let isUsual: Bool
    let matches: @Sendable (String) -> Bool

    private static func endings(_ reason: String, isUsual: Bool = false, _ endings: String...) -> UnusedTensorKind {
        UnusedTensorKind(reason: reason, isUsual: isUsual) { name in endings.contains { name.hasSuffix($0) } }
    }

    private static func parts(_ reason: String, _ beginnings: String...) -> UnusedTensorKind {
        UnusedTensorKind(reason: reason, isUsual: false) { name in
            name.split(separator: ".").contains { part in beginnings.contains { part.hasPrefix($0) } }
        }
    }

    /// The kinds that are known by their names.
    static let known = [
        endings("rotary angles are computed", isUsual: true, ".rotary_emb.inv_freq"),
        endings("rotary angles are computed", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached"),
        endings("masks and positions are computed", ".masked_bias", ".position_ids"),
        // The cache finds scales of its own; vLLM too goes without these unless it keeps an fp8 cache by them.
        endings(
            "the cache has scales of its own", ".k_scale", ".v_scale", ".q_scale", ".prob_scale", ".kv_scale",
            ".k_proj.output_scale", ".v_proj.output_scale", ".k_zero_point", ".v_zero_point"),
        parts("tokens are not proposed ahead", "mtp", "nextn", "eagle", "medusa"),
        UnusedTensorKind(reason: "only the language model's head is run", isUsual: false) { name in
            ["score.", "classifier.", "v_head.", "value_head.", "reward_head.", "qa_outputs."].contains {
                name.hasPrefix($0)
            }
        },
    ]

    static let beyondTheLast = UnusedTensorKind(
        reason: "config.json counts fewer layers", isUsual: false, matches: { _ in false })
}

import Topology

/// What a parameter is, independent of how a checkpoint names it.
public enum ParameterName: Hashable, Sendable {
    case embedding
    case attentionNorm(layer: Int)
    case query(layer: Int)
    case key(layer: Int)
    case value(layer: Int)
    case attentionOutput(layer: Int)
    case feedForwardNorm(layer: Int)
    case gate(layer: Int)
    case up(layer: Int)
    case down(layer: Int)
    case finalNorm
    case head

    /// The layer that it belongs to; nil for the embedding, the final norm and the head.
    public var layer: Int? {
        switch self {
        case .embedding, .finalNorm, .head: nil
        case .attentionNorm(let layer), .query(let layer), .key(let layer), .value(let layer),
            .attentionOutput(let layer), .feedForwardNorm(let layer), .gate(let layer), .up(let layer),
            .down(let layer):
            layer
        }
    }
}

/// One tensor of a model: the inventory that the loader, the cost model and the tests share.
public struct Parameter: Equatable, Sendable {
    /// Which part of a module it is.
    public enum Role: Equatable, Sendable {
        /// A linear layer's matrix, `[output, input]`.
        case matrix
        /// A linear layer's bias, `[output]`.
        case bias
        /// A norm's weight, `[features]`.
        case norm
        /// A table with a row for each token, `[vocabulary, features]`.
        case table
    }

    public let name: ParameterName
    public let role: Role
    public let shape: [Int]
    public let sharding: Sharding

    /// Elements.
    public var count: Int { shape.reduce(1, *) }
}

extension DecoderConfiguration {
    /// Every parameter of the model, in the order in which a token meets them.
    ///
    /// A tied head has no entry of its own: `.head` of a model that ties is the embedding again.
    public func parameters() -> [Parameter] {
        var parameters = [
            Parameter(name: .embedding, role: .table, shape: [vocabularySize, hiddenSize], sharding: .vocabulary)
        ]
        for (layer, configuration) in layers.enumerated() {
            let attention = configuration.attention
            let queries = attention.queryHeadCount * attention.headDimension
            let keyValues = attention.keyValueHeadCount * attention.headDimension
            let wide = configuration.feedForward.intermediateSize
            let inner = configuration.feedForward.hasBias
            let linears: [(ParameterName, Int, Int, Sharding, Bool)] = [
                (.query(layer: layer), queries, hiddenSize, .heads(.query), attention.hasInputBias),
                (.key(layer: layer), keyValues, hiddenSize, .heads(.keyValue), attention.hasInputBias),
                (.value(layer: layer), keyValues, hiddenSize, .heads(.keyValue), attention.hasInputBias),
                (.attentionOutput(layer: layer), hiddenSize, queries, .row, attention.hasOutputBias),
                (.gate(layer: layer), wide, hiddenSize, .column, inner),
                (.up(layer: layer), wide, hiddenSize, .column, inner),
                (.down(layer: layer), hiddenSize, wide, .row, inner),
            ]
            for (index, (name, output, input, sharding, hasBias)) in linears.enumerated() {
                if index == 0 { parameters.append(norm(.attentionNorm(layer: layer))) }
                if index == 4 { parameters.append(norm(.feedForwardNorm(layer: layer))) }
                parameters.append(Parameter(name: name, role: .matrix, shape: [output, input], sharding: sharding))
                if hasBias {
                    let biasSharding: Sharding = sharding == .row ? .replicated : sharding
                    parameters.append(Parameter(name: name, role: .bias, shape: [output], sharding: biasSharding))
                }
            }
        }
        parameters.append(norm(.finalNorm))
        if !tiesEmbeddings {
            parameters.append(
                Parameter(name: .head, role: .matrix, shape: [vocabularySize, hiddenSize], sharding: .vocabulary))
        }
        return parameters
    }

    private func norm(_ name: ParameterName) -> Parameter {
        Parameter(name: name, role: .norm, shape: [hiddenSize], sharding: .replicated)
    }
}

/// How a family's checkpoints name their tensors.
public struct TensorNames: Sendable {
    /// The module's name, without `.weight` or `.bias`.
    public let module: @Sendable (ParameterName) -> String
    /// Tensors that may be in a file and are not used, such as precomputed rotary frequencies.
    public let isIgnored: @Sendable (String) -> Bool

    /// The names of Llama in Hugging Face's transformers, which most families share.
    public static let huggingFace = TensorNames(
        module: { name in
            let part =
                switch name {
                case .embedding: "embed_tokens"
                case .finalNorm: "norm"
                case .head: ""
                case .attentionNorm: "input_layernorm"
                case .feedForwardNorm: "post_attention_layernorm"
                case .query: "self_attn.q_proj"
                case .key: "self_attn.k_proj"
                case .value: "self_attn.v_proj"
                case .attentionOutput: "self_attn.o_proj"
                case .gate: "mlp.gate_proj"
                case .up: "mlp.up_proj"
                case .down: "mlp.down_proj"
                }
            if name == .head { return "lm_head" }
            return name.layer.map { "model.layers.\($0).\(part)" } ?? "model.\(part)"
        },
        isIgnored: { $0.hasSuffix(".rotary_emb.inv_freq") || $0 == "lm_head.weight" })
}

import Topology

/// What a parameter is, independent of how a checkpoint names it.
public enum ParameterName: Hashable, Sendable {
    case embedding
    case layer(Int, LayerPart)
    case finalNorm
    case head
    /// All of a part beside the decoder.
    case companion(String)

    public static func attentionNorm(layer: Int) -> Self { .layer(layer, .attentionNorm) }
    public static func query(layer: Int) -> Self { .layer(layer, .query) }
    public static func key(layer: Int) -> Self { .layer(layer, .key) }
    public static func value(layer: Int) -> Self { .layer(layer, .value) }
    public static func attentionOutput(layer: Int) -> Self { .layer(layer, .attentionOutput) }
    public static func feedForwardNorm(layer: Int) -> Self { .layer(layer, .feedForwardNorm) }
    public static func gate(layer: Int) -> Self { .layer(layer, .gate) }
    public static func up(layer: Int) -> Self { .layer(layer, .up) }
    public static func down(layer: Int) -> Self { .layer(layer, .down) }

    /// The layer that it belongs to; nil for the embedding, the final norm, the head and companions.
    public var layer: Int? {
        if case .layer(let layer, _) = self { layer } else { nil }
    }
}

/// A module of a layer; its raw value is the name that most checkpoints give it (Hugging Face's transformers).
public enum LayerPart: String, Hashable, Sendable {
    case attentionNorm = "input_layernorm"
    case query = "self_attn.q_proj"
    case key = "self_attn.k_proj"
    case value = "self_attn.v_proj"
    case attentionOutput = "self_attn.o_proj"
    case queryNorm = "self_attn.q_norm"
    case keyNorm = "self_attn.k_norm"
    case sinks = "self_attn.sinks"
    /// Of latent attention: into and out of the short vectors.
    case queryDown = "self_attn.q_a_proj"
    case queryDownNorm = "self_attn.q_a_layernorm"
    case queryUp = "self_attn.q_b_proj"
    case keyValueDown = "self_attn.kv_a_proj_with_mqa"
    case keyValueDownNorm = "self_attn.kv_a_layernorm"
    case keyValueUp = "self_attn.kv_b_proj"
    case afterAttentionNorm = "post_attention_norm"
    case feedForwardNorm = "post_attention_layernorm"
    case gate = "mlp.gate_proj"
    case up = "mlp.up_proj"
    case down = "mlp.down_proj"
    case router = "mlp.gate"
    case expertGate = "mlp.experts.gate_proj"
    case expertUp = "mlp.experts.up_proj"
    case expertDown = "mlp.experts.down_proj"
    case sharedGate = "mlp.shared_experts.gate_proj"
    case sharedUp = "mlp.shared_experts.up_proj"
    case sharedDown = "mlp.shared_experts.down_proj"
    case sharedScale = "mlp.shared_expert_gate"
    case afterFeedForwardNorm = "post_feedforward_layernorm"
}

/// One tensor of a model: the inventory that the loader, the cost model and the tests share.
public struct Parameter: Equatable, Sendable {
    /// Which part of a module it is.
    public enum Role: Equatable, Sendable {
        /// A linear layer's matrix, `[output, input]`, or `[experts, output, input]`.
        case matrix
        /// A linear layer's bias, `[output]`, or `[experts, output]`, or a norm's, `[features]`.
        case bias
        /// A norm's weight, `[features]`.
        case norm
        /// A table with a row for each token, `[vocabulary, features]`.
        case table
        /// Numbers of which only the count is known.
        case other
    }

    public let name: ParameterName
    public let role: Role
    public let shape: [Int]
    public let sharding: Sharding

    /// Elements.
    public var count: Int { shape.reduce(1, *) }

    /// Whether it is one of those that quantizing a model makes small: a matrix of a layer, but no router.
    public var isLinear: Bool {
        guard case .layer(_, let part) = name else { return false }
        return role == .matrix && part != .router && part != .sharedScale
    }
}

/// What one rank keeps of a parameter; of one with experts, of each of them.
public struct ParameterShare: Equatable, Sendable {
    /// Experts, else 1.
    public var copies: Int
    /// Output features; of a vector, its elements.
    public var rows: Range<Int>
    /// Input features; of a vector, one.
    public var columns: Range<Int>

    /// Elements.
    public var count: Int { copies * rows.count * columns.count }
}

extension DecoderConfiguration {
    /// Every parameter of the model, in the order in which a token meets them.
    ///
    /// A tied head has no entry of its own: `.head` of a model that ties is the embedding again.
    public func parameters() -> [Parameter] {
        let (before, after) = (entranceParameters(), exitParameters())
        return before + layers.enumerated().flatMap { parameters(of: $1, at: $0) } + after
    }

    /// The parameters that belong to no layer.
    public func outerParameters() -> [Parameter] { entranceParameters() + exitParameters() }

    private func entranceParameters() -> [Parameter] {
        companions.map {
            Parameter(name: .companion($0.name), role: .other, shape: [$0.parameterCount], sharding: .even)
        } + [
            Parameter(name: .embedding, role: .table, shape: [vocabularySize, hiddenSize], sharding: .vocabulary)
        ]
    }

    private func exitParameters() -> [Parameter] {
        norm(.finalNorm, hiddenSize)
            + (tiesEmbeddings
                ? []
                : [Parameter(name: .head, role: .matrix, shape: [vocabularySize, hiddenSize], sharding: .vocabulary)])
    }

    /// The parameters of one layer.
    public func parameters(of layer: LayerConfiguration, at index: Int) -> [Parameter] {
        var parameters: [Parameter] = []
        func add(_ parts: [LayerPart], _ shape: [Int], _ sharding: Sharding, hasBias: Bool) {
            for part in parts {
                parameters.append(
                    Parameter(name: .layer(index, part), role: .matrix, shape: shape, sharding: sharding))
                guard hasBias else { continue }
                // A bias that is added after a sum over ranks is on every rank.
                parameters.append(
                    Parameter(
                        name: .layer(index, part), role: .bias, shape: shape.dropLast(),
                        sharding: sharding == .row ? .replicated : sharding))
            }
        }
        func addNorm(_ part: LayerPart, _ features: Int, _ sharding: Sharding = .replicated) {
            parameters += norm(.layer(index, part), features, sharding)
        }
        func addFeedForward(_ parts: [LayerPart], down: LayerPart, _ size: Int, experts: [Int] = [], hasBias: Bool) {
            add(parts, experts + [size, hiddenSize], .column, hasBias: hasBias)
            add([down], experts + [hiddenSize, size], .row, hasBias: hasBias)
        }

        if layer.norms != .after { addNorm(.attentionNorm, hiddenSize) }
        switch layer.attention {
        case .groupedQuery(let attention):
            let queries = attention.queryHeadCount * attention.headDimension
            let keyValues = attention.keyValueHeadCount * attention.headDimension
            add([.query], [queries, hiddenSize], .heads(.query), hasBias: attention.hasInputBias)
            add([.key, .value], [keyValues, hiddenSize], .heads(.keyValue), hasBias: attention.hasInputBias)
            switch attention.queryKeyNorm {
            case .none: break
            case .perHead:
                addNorm(.queryNorm, attention.headDimension)
                addNorm(.keyNorm, attention.headDimension)
            case .allHeads:
                addNorm(.queryNorm, queries, .heads(.query))
                addNorm(.keyNorm, keyValues, .heads(.keyValue))
            }
            if attention.hasSinks {
                parameters.append(
                    Parameter(
                        name: .layer(index, .sinks), role: .other, shape: [attention.queryHeadCount],
                        sharding: .heads(.query)))
            }
            add([.attentionOutput], [hiddenSize, queries], .row, hasBias: attention.hasOutputBias)
        case .latent(let attention):
            let queries = attention.headCount * attention.headDimension
            if let rank = attention.queryRank {
                add([.queryDown], [rank, hiddenSize], .replicated, hasBias: false)
                addNorm(.queryDownNorm, rank)
                add([.queryUp], [queries, rank], .heads(.query), hasBias: false)
            } else {
                add([.query], [queries, hiddenSize], .heads(.query), hasBias: false)
            }
            add([.keyValueDown], [attention.cachedDimension, hiddenSize], .replicated, hasBias: false)
            addNorm(.keyValueDownNorm, attention.keyValueRank)
            add(
                [.keyValueUp],
                [attention.headCount * (attention.plainDimension + attention.valueDimension), attention.keyValueRank],
                .heads(.query), hasBias: false)
            add(
                [.attentionOutput], [hiddenSize, attention.headCount * attention.valueDimension], .row, hasBias: false)
        }
        if layer.norms == .after || layer.norms == .around { addNorm(.afterAttentionNorm, hiddenSize) }
        if layer.norms == .before || layer.norms == .around { addNorm(.feedForwardNorm, hiddenSize) }
        switch layer.feedForward {
        case .gated(let part):
            addFeedForward([.gate, .up], down: .down, part.intermediateSize, hasBias: part.hasBias)
        case .plain(let part):
            addFeedForward([.up], down: .down, part.intermediateSize, hasBias: part.hasBias)
        case .experts(let part):
            add([.router], [part.expertCount, hiddenSize], .replicated, hasBias: part.hasRouterBias)
            addFeedForward(
                [.expertGate, .expertUp], down: .expertDown, part.expertSize, experts: [part.expertCount],
                hasBias: part.hasBias)
            if part.sharedSize > 0 {
                addFeedForward([.sharedGate, .sharedUp], down: .sharedDown, part.sharedSize, hasBias: false)
            }
            if part.hasSharedGate { add([.sharedScale], [1, hiddenSize], .replicated, hasBias: false) }
        }
        if layer.norms == .after || layer.norms == .around { addNorm(.afterFeedForwardNorm, hiddenSize) }
        return parameters
    }

    private func norm(_ name: ParameterName, _ features: Int, _ sharding: Sharding = .replicated) -> [Parameter] {
        let roles: [Parameter.Role] = hasNormBias ? [.norm, .bias] : [.norm]
        return roles.map { Parameter(name: name, role: $0, shape: [features], sharding: sharding) }
    }

    /// What a rank keeps of a parameter that its stage holds.
    public func share(of parameter: Parameter, at placement: Placement) -> ParameterShare {
        let isVector = parameter.role != .matrix && parameter.role != .table
        let shape = isVector ? parameter.shape + [1] : parameter.shape
        var share = ParameterShare(
            copies: shape.dropLast(2).reduce(1, *), rows: 0..<shape[shape.count - 2],
            columns: 0..<shape[shape.count - 1])
        switch parameter.sharding {
        case .replicated: break
        case .even: share.rows = placement.group.shares(of: share.rows.count)[placement.shard]
        case .vocabulary: share.rows = placement.group.shares(of: vocabularySize)[placement.shard]
        case .column: share.rows = features(of: parameter, length: share.rows.count, at: placement)
        case .row: share.columns = features(of: parameter, length: share.columns.count, at: placement)
        case .heads(let kind):
            share.rows = rows(ofHeads: kind, of: parameter, length: share.rows.count, at: placement)
        }
        return share
    }

    /// How the sum over a matrix's input is cut.
    public func contraction(of parameter: Parameter, shardCount: Int) -> ContractionLayout {
        let length = parameter.shape[parameter.shape.count - 1]
        guard case .layer(let layer, let part) = parameter.name, parameter.sharding == .row else {
            return ContractionLayout(length: length)
        }
        return part == .attentionOutput
            ? layers[layer].attention.outputContraction : ContractionLayout(length: length, shardCount: shardCount)
    }

    /// A shard of the features between up and down, or of all heads' outputs.
    private func features(of parameter: Parameter, length: Int, at placement: Placement) -> Range<Int> {
        if case .layer(_, .attentionOutput) = parameter.name {
            return rows(ofHeads: .query, of: parameter, length: length, at: placement)
        }
        let layout = ContractionLayout(length: length, shardCount: placement.group.count)
        return placement.group.shares(of: length, unit: layout.unit)[placement.shard]
    }

    private func rows(
        ofHeads kind: Sharding.HeadKind, of parameter: Parameter, length: Int, at placement: Placement
    ) -> Range<Int> {
        guard case .layer(let layer, _) = parameter.name else { return 0..<length }
        let attention = layers[layer].attention
        let heads = attention.placement(in: placement.group, shard: placement.shard)
        let (range, count) =
            kind == .query
            ? (heads.queryHeads, attention.queryHeadCount) : (heads.keyValueHeads, attention.keyValueHeadCount)
        let perHead = length / count
        return range.lowerBound * perHead..<range.upperBound * perHead
    }
}

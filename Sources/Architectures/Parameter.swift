import Topology

/// What a parameter is, independent of how a checkpoint names it.
public enum ParameterName: Hashable, Sendable {
    case embedding
    /// The matrix from embedding rows to the hidden size.
    case embeddingProjection
    case embeddingNorm
    /// The table of learned position embeddings.
    case positions
    case layer(Int, LayerPart)
    case finalNorm
    /// The matrix from the hidden size to the width of embedding rows.
    case headProjection
    case head
    /// All parameters of a companion of the decoder, such as a vision tower, as one.
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

    /// The layer that the parameter belongs to; nil for parameters outside the layers.
    public var layer: Int? {
        if case .layer(let layer, _) = self { layer } else { nil }
    }
}

/// A module of a layer.
public enum LayerPart: Hashable, Sendable, CaseIterable {
    case attentionNorm
    case query
    case key
    case value
    case attentionOutput
    case queryNorm
    case keyNorm
    case sinks
    // Latent attention: projections into and out of the latent vectors, and the norms of these vectors.
    case queryDown
    case queryDownNorm
    case queryUp
    case keyValueDown
    case keyValueDownNorm
    case keyValueUp
    case afterAttentionNorm
    case feedForwardNorm
    case gate
    case up
    case down
    // The learned coefficients of xIELU, for positive and for negative elements.
    case activationPositive
    case activationNegative
    case router
    case expertGate
    case expertUp
    case expertDown
    case sharedGate
    case sharedUp
    case sharedDown
    case sharedScale
    case afterFeedForwardNorm
    /// The number that multiplies the residual stream.
    case streamScale
}

/// One tensor of a model: the inventory that the loader, the cost model and the tests share.
public struct Parameter: Equatable, Sendable {
    /// Which tensor of a module it is.
    public enum Role: Equatable, Sendable {
        /// A linear layer's matrix, `[output, input]`, or `[experts, output, input]`.
        case matrix
        /// A linear layer's bias, `[output]`, or `[experts, output]`, or a norm's, `[features]`.
        case bias
        /// A norm's weight, `[features]`.
        case norm
        /// A table with a row for each token or position, `[rows, features]`.
        case table
        /// A number for each query head, `[heads]`.
        case perHead
        /// One number of a layer, `[1]`.
        case scalar
        /// Elements of which only the number is known.
        case other
    }

    public let name: ParameterName
    public let role: Role
    public let shape: [Int]
    public let sharding: Sharding

    /// The number of elements.
    public var count: Int { shape.reduce(1, *) }

    /// Whether quantizing a model applies to it: a matrix of a layer, but neither a router nor a shared expert's gate.
    public var isLinear: Bool {
        guard case .layer(_, let part) = name else { return false }
        return role == .matrix && part != .router && part != .sharedScale
    }
}

extension DecoderConfiguration {
    /// Every parameter of the model, in execution order.
    ///
    /// A tied head has no entry of its own, because it is the embedding.
    public func parameters() -> [Parameter] {
        let (before, after) = (entranceParameters(), exitParameters())
        return before + layers.enumerated().flatMap { parameters(of: $1, at: $0) } + after
    }

    /// The parameters that a stage needs.
    ///
    /// Every stage has those of its layers, the first stage also the tables, and the last stage also the final norm and
    /// the head. A tied embedding is on the last stage too.
    public func parameters(ofStageAt placement: Placement) -> [Parameter] {
        let entrance =
            placement.isFirstStage
            ? entranceParameters()
            : placement.isLastStage && tiesEmbeddings ? entranceParameters().filter { $0.name == .embedding } : []
        return entrance + placement.layers.flatMap { parameters(of: layers[$0], at: $0) }
            + (placement.isLastStage ? exitParameters() : [])
    }

    /// The features of a row of the embedding, and of the head's matrix.
    public var embeddingWidth: Int { embedding.width ?? hiddenSize }

    /// The parameters that belong to no layer.
    public func outerParameters() -> [Parameter] { entranceParameters() + exitParameters() }

    private func entranceParameters() -> [Parameter] {
        companions.map {
            Parameter(name: .companion($0.name), role: .other, shape: [$0.parameterCount], sharding: .even)
        } + [
            Parameter(name: .embedding, role: .table, shape: [vocabularySize, embeddingWidth], sharding: .vocabulary)
        ]
            + (embedding.width.map {
                [
                    Parameter(
                        name: .embeddingProjection, role: .matrix, shape: [hiddenSize, $0], sharding: .replicated)
                ]
            } ?? [])
            + (embedding.norm.map { norm(.embeddingNorm, $0, hiddenSize) } ?? [])
            + (embedding.learnedPositions.map {
                [
                    Parameter(
                        name: .positions, role: .table, shape: [$0.count + $0.offset, hiddenSize], sharding: .replicated
                    )
                ]
            } ?? [])
    }

    private func exitParameters() -> [Parameter] {
        var parameters = norm(.finalNorm, finalNorm, hiddenSize)
        if let width = embedding.width {
            parameters.append(
                Parameter(name: .headProjection, role: .matrix, shape: [width, hiddenSize], sharding: .replicated))
        }
        if !tiesEmbeddings {
            parameters.append(
                Parameter(name: .head, role: .matrix, shape: [vocabularySize, embeddingWidth], sharding: .vocabulary))
        }
        if head.hasBias {
            parameters.append(Parameter(name: .head, role: .bias, shape: [vocabularySize], sharding: .vocabulary))
        }
        return parameters
    }

    /// The parameters of one layer.
    public func parameters(of layer: LayerConfiguration, at index: Int) -> [Parameter] {
        var parameters: [Parameter] = []
        func add(_ parts: [LayerPart], _ shape: [Int], _ sharding: Sharding, hasBias: Bool) {
            for part in parts {
                parameters.append(
                    Parameter(name: .layer(index, part), role: .matrix, shape: shape, sharding: sharding))
                guard hasBias else { continue }
                // Every rank adds the bias after the all-reduce, so all of them hold it.
                parameters.append(
                    Parameter(
                        name: .layer(index, part), role: .bias, shape: shape.dropLast(),
                        sharding: sharding == .row ? .replicated : sharding))
            }
        }
        func addNorm(
            _ part: LayerPart, _ configuration: NormConfiguration, _ features: Int, _ sharding: Sharding = .replicated
        ) {
            parameters += norm(.layer(index, part), configuration, features, sharding)
        }
        func addNorms(_ wanted: Set<LayerPart>) {
            for part in layer.normParts where wanted.contains(part) { addNorm(part, layer.norm, hiddenSize) }
        }
        func addScalar(_ part: LayerPart) {
            parameters.append(Parameter(name: .layer(index, part), role: .scalar, shape: [1], sharding: .replicated))
        }
        func addFeedForward(_ parts: [LayerPart], down: LayerPart, _ size: Int, experts: [Int] = [], hasBias: Bool) {
            add(parts, experts + [size, hiddenSize], .column, hasBias: hasBias)
            add([down], experts + [hiddenSize, size], .row, hasBias: hasBias)
        }

        addNorms([.attentionNorm])
        switch layer.attention {
        case .groupedQuery(let attention):
            let queries = attention.queryHeadCount * attention.headDimension
            let keyValues = attention.keyValueHeadCount * attention.headDimension
            add([.query], [queries, hiddenSize], .heads(.query), hasBias: attention.hasInputBias)
            add(
                attention.valuesAreKeys ? [.key] : [.key, .value], [keyValues, hiddenSize], .heads(.keyValue),
                hasBias: attention.hasInputBias)
            if let norm = attention.queryKeyNorm {
                switch norm.span {
                case .perHead:
                    addNorm(.queryNorm, norm.norm, attention.headDimension)
                    addNorm(.keyNorm, norm.norm, attention.headDimension)
                case .eachHead, .allHeads:
                    addNorm(.queryNorm, norm.norm, queries, .heads(.query))
                    addNorm(.keyNorm, norm.norm, keyValues, .heads(.keyValue))
                }
            }
            if attention.scores.hasSinks {
                parameters.append(
                    Parameter(
                        name: .layer(index, .sinks), role: .perHead, shape: [attention.queryHeadCount],
                        sharding: .heads(.query)))
            }
            add([.attentionOutput], [hiddenSize, queries], .row, hasBias: attention.hasOutputBias)
        case .latent(let attention):
            let queries = attention.headCount * attention.headDimension
            if let rank = attention.queryRank {
                add([.queryDown], [rank, hiddenSize], .replicated, hasBias: false)
                addNorm(.queryDownNorm, layer.norm, rank)
                add([.queryUp], [queries, rank], .heads(.query), hasBias: false)
            } else {
                add([.query], [queries, hiddenSize], .heads(.query), hasBias: false)
            }
            add([.keyValueDown], [attention.cachedDimension, hiddenSize], .replicated, hasBias: false)
            addNorm(.keyValueDownNorm, layer.norm, attention.keyValueRank)
            add(
                [.keyValueUp],
                [attention.headCount * (attention.plainDimension + attention.valueDimension), attention.keyValueRank],
                .heads(.query), hasBias: false)
            add(
                [.attentionOutput], [hiddenSize, attention.headCount * attention.valueDimension], .row, hasBias: false)
        }
        addNorms([.afterAttentionNorm, .feedForwardNorm])
        switch layer.feedForward {
        case .dense(let part):
            addFeedForward(
                part.isGated ? [.gate, .up] : [.up], down: .down, part.intermediateSize, hasBias: part.hasBias)
            if part.activation == .xIELU {
                addScalar(.activationPositive)
                addScalar(.activationNegative)
            }
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
        addNorms([.afterFeedForwardNorm])
        if layer.scalesStream { addScalar(.streamScale) }
        return parameters
    }

    private func norm(
        _ name: ParameterName, _ configuration: NormConfiguration, _ features: Int, _ sharding: Sharding = .replicated
    ) -> [Parameter] {
        let roles: [Parameter.Role] = configuration.hasBias ? [.norm, .bias] : [.norm]
        return roles.map { Parameter(name: name, role: $0, shape: [features], sharding: sharding) }
    }
}

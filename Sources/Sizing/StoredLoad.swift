import Architectures
import Topology

/// One layer's part of a card's memory under accounting by coefficients, as checkpoints store it.
struct StoredLayer: Equatable, Sendable {
    /// Bytes of weights.
    var weights = 0.0
    /// Bytes of the weights that a token uses; of experts, only the active ones.
    var activeWeights = 0.0
    /// Bytes of cache per token.
    var cachePerToken = 0.0
    /// The number of positions that a token attends to; nil: no limit.
    var window: Int?
    /// Features between up and down on the card; of experts, those of the active ones.
    var intermediate = 0.0
    /// Query heads whose attention has no fused kernel.
    var unfusedHeads = 0.0

    init(
        _ index: Int, of decoder: DecoderConfiguration, at placement: Placement, storage: StorageChoice,
        latentCache: LatentCacheForm
    ) {
        let layer = decoder.layers[index]
        let heads = layer.attention.placement(in: placement.group, shard: placement.shard)
        let copies = if case .experts(let part) = layer.feedForward { part.activeCount } else { 1 }
        for parameter in decoder.parameters(of: layer, at: index) {
            let share = decoder.share(of: parameter, at: placement)
            let bytes = storage.scheme.byteCount(parameter, share)
            weights += bytes
            activeWeights += bytes * (share.copies > 1 ? layer.feedForward.activeShare : 1)
            guard case .layer(_, let part) = parameter.name, parameter.role == .matrix else { continue }
            switch part {
            case .down, .sharedDown: intermediate += Double(share.columns.count)
            case .expertDown: intermediate += Double(copies * share.columns.count)
            default: break
            }
        }
        window = layer.attention.window
        if layer.attention.writesScores { unfusedHeads = Double(heads.queryHeads.count) }
        cachePerToken = Double(
            layer.attention.cachedNumbers(latentCache, keyValueHeadCount: heads.keyValueHeads.count)
                * storage.cacheType.byteCount)
    }
}

extension AttentionKind {
    /// Whether fused kernels do not support it, so that scores are written to memory.
    fileprivate var writesScores: Bool {
        switch self {
        case .groupedQuery(let attention): attention.scores.linearBias != nil
        case .latent: true
        }
    }
}

/// The memory of one card under accounting by coefficients.
struct StoredLoad: Sendable {
    /// Bytes of weights.
    private(set) var weights = 0.0
    /// Bytes of cache per token.
    private(set) var cachePerToken = 0.0
    /// Bytes of the weights that a token reads.
    private var activeWeights = 0.0
    /// Bytes of cache per position, by the attention window of the layers; the key 0 stands for no window.
    private var cacheByWindow: [Int: Double] = [:]
    private var intermediate = 0.0
    private var unfusedHeads = 0.0
    /// Rows of the output head; nil unless this is the last stage.
    private var headRows: Int?
    private let hidden: Int
    private let vocabulary: Int

    /// - Parameters:
    ///   - layers: the distinct layers of this stage, each with its count.
    ///   - vocabularyUnit: rows of the vocabulary are padded to multiples of this on each card.
    init(
        _ layers: [(layer: StoredLayer, count: Int)], of decoder: DecoderConfiguration, at placement: Placement,
        vocabularyUnit: Int
    ) {
        hidden = decoder.hiddenSize
        vocabulary = decoder.vocabularySize
        for (layer, count) in layers {
            weights += layer.weights * Double(count)
            activeWeights += layer.activeWeights * Double(count)
            cachePerToken += layer.cachePerToken * Double(count)
            cacheByWindow[layer.window ?? 0, default: 0] += layer.cachePerToken * Double(count)
            intermediate = max(intermediate, layer.intermediate)
            unfusedHeads = max(unfusedHeads, layer.unfusedHeads)
        }
        let unit = vocabularyUnit * placement.group.count
        let rows = (decoder.vocabularySize + unit - 1) / unit * vocabularyUnit
        let table = 2 * Double(rows) * Double(hidden)
        if placement.isFirstStage {
            weights += table
            if let positions = decoder.embedding.learnedPositions {
                weights += 2 * Double(positions.count + positions.offset) * Double(hidden)
            }
            // Companions are divided evenly and stored in 16 bits.
            weights += decoder.companions.reduce(0) {
                $0 + 2 * (Double($1.parameterCount) / Double(placement.group.count)).rounded(.up)
            }
        }
        guard placement.isLastStage else { return }
        headRows = rows
        activeWeights += table
        if !(decoder.tiesEmbeddings && placement.isFirstStage) { weights += table }
    }

    /// Bytes that one token reads after `length` positions: the weights that it uses and the cache that it attends to.
    func readBytes(length: Int) -> Double {
        cacheByWindow.reduce(activeWeights) { sum, layers in
            sum + layers.value * Double(layers.key > 0 ? min(layers.key, length) : length)
        }
    }

    /// Bytes of logits: this card's in 16 bits, and the gathered ones in float32.
    func logits(rows: Int) -> Double {
        Double(rows) * (2 * Double(headRows ?? 0) + 4 * Double(vocabulary))
    }

    /// Bytes of activations per token.
    func perToken(_ coefficients: MemoryProfile.Coefficients) -> Double {
        2 * (coefficients.hidden.value * Double(hidden) + coefficients.intermediate.value * intermediate)
    }

    /// Bytes per pair of positions.
    func perPair(_ coefficients: MemoryProfile.Coefficients) -> Double {
        coefficients.pairs.value + coefficients.scores.value * unfusedHeads
    }
}

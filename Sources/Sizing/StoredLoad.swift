import Architectures
import Topology

/// What one layer takes of a card under accounting by coefficients, as checkpoints store it.
struct StoredLayer: Equatable, Sendable {
    /// Bytes of weights.
    var weights = 0.0
    /// Bytes of the weights that a token meets: of experts those that it goes through.
    var activeWeights = 0.0
    /// Bytes that the cache keeps of a token.
    var cachePerToken = 0.0
    /// Positions that a token sees; nil: all before it.
    var window: Int?
    /// Features between up and down, of the experts that a token goes through.
    var intermediate = 0.0
    /// Heads whose attention the runtime has no fused kernel for.
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
    /// Whether kernels made for the usual kinds of attention do not take it.
    fileprivate var writesScores: Bool {
        switch self {
        case .groupedQuery(let attention): attention.scores.linearBias != nil
        case .latent: true
        }
    }
}

/// What one card takes of a model under accounting by coefficients.
struct StoredLoad: Sendable {
    /// Bytes of weights.
    private(set) var weights = 0.0
    /// Bytes that the cache keeps of a token.
    private(set) var cachePerToken = 0.0
    /// Bytes of the weights that a token reads.
    private var activeWeights = 0.0
    /// Bytes of cache for each position that a token sees, by the windows of layers; 0: without one.
    private var cacheByWindow: [Int: Double] = [:]
    private var intermediate = 0.0
    private var unfusedHeads = 0.0
    /// Rows of the output head; nil unless this is the last stage.
    private var headRows: Int?
    private let hidden: Int
    private let vocabulary: Int

    /// - Parameters:
    ///   - layers: of this stage, and how many there are of each.
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
                weights += 2 * Double(positions.count) * Double(hidden)
            }
            // Companions are divided evenly, in 16 bits.
            weights += decoder.companions.reduce(0) {
                $0 + 2 * (Double($1.parameterCount) / Double(placement.group.count)).rounded(.up)
            }
        }
        guard placement.isLastStage else { return }
        headRows = rows
        activeWeights += table
        if !(decoder.tiesEmbeddings && placement.isFirstStage) { weights += table }
    }

    /// Bytes that a token of one sequence reads at a position: weights that it meets, and the cache that it sees.
    func readBytes(length: Int) -> Double {
        cacheByWindow.reduce(activeWeights) { sum, layers in
            sum + layers.value * Double(layers.key > 0 ? min(layers.key, length) : length)
        }
    }

    /// Bytes of logits, in 16 bits on this card and gathered in float32.
    func logits(rows: Int) -> Double {
        Double(rows) * (2 * Double(headRows ?? 0) + 4 * Double(vocabulary))
    }

    /// Bytes of activations for a token.
    func perToken(_ coefficients: MemoryProfile.Coefficients) -> Double {
        2 * (coefficients.hidden.value * Double(hidden) + coefficients.intermediate.value * intermediate)
    }

    /// Bytes for a pair of positions.
    func perPair(_ coefficients: MemoryProfile.Coefficients) -> Double {
        coefficients.pairs.value + coefficients.scores.value * unfusedHeads
    }
}

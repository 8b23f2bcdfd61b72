import Architectures
import Tensors
import Topology

/// What one rank takes of a model: its layers, and what its stage has besides.
struct RankLoad: Sendable {
    /// Bytes of weights.
    private(set) var weights = 0.0
    /// Bytes that the cache keeps of a token.
    private(set) var cachePerToken = 0.0
    /// Bytes of the weights that a token reads.
    private var activeWeights = 0.0
    /// Bytes of cache for each position that a token sees, by the windows of layers; 0: without one.
    private var cacheByWindow: [Int: Double] = [:]
    private(set) var intermediate = 0.0
    private(set) var unfusedHeads = 0.0
    /// Rows of the output head; nil unless this is the last stage.
    private var headRows: Int?
    /// Different layers' widths.
    private var widths: [LayerWidths] = []
    private let hidden: Int
    private let vocabulary: Int
    /// Features of a head that are rotated.
    private let rotated: Int
    private let isFirstRank: Bool

    private init(
        _ loads: [(load: LayerLoad, count: Int)], of decoder: DecoderConfiguration, at placement: Placement, rank: Int
    ) {
        hidden = decoder.hiddenSize
        vocabulary = decoder.vocabularySize
        rotated = decoder.layers[0].attention.headDimension
        isFirstRank = rank == 0
        for (load, count) in loads {
            weights += load.weights * Double(count)
            activeWeights += load.activeWeights * Double(count)
            cachePerToken += load.cachePerToken * Double(count)
            cacheByWindow[load.window ?? 0, default: 0] += load.cachePerToken * Double(count)
            intermediate = max(intermediate, load.intermediate)
            unfusedHeads = max(unfusedHeads, load.unfusedHeads)
            if widths.last != load.widths { widths.append(load.widths) }
        }
        if placement.isFirstStage {
            // Companions are divided evenly, in 16 bits.
            weights += decoder.companions.reduce(0) {
                $0 + 2 * (Double($1.parameterCount) / Double(placement.group.count)).rounded(.up)
            }
        }
    }

    /// As this runtime packs it: the embedding stays in the file.
    ///
    /// - Parameter loads: of this stage's layers, and how many there are of each.
    init(
        packed loads: [(load: LayerLoad, count: Int)], of decoder: DecoderConfiguration, at placement: Placement,
        rank: Int, headFormat: ComputeFormat
    ) {
        self.init(loads, of: decoder, at: placement, rank: rank)
        guard placement.isLastStage else { return }
        let rows = placement.group.shares(of: decoder.vocabularySize)[placement.shard].count
        headRows = rows
        let end =
            Double(hidden * (decoder.hasNormBias ? 8 : 4))
            + Double(headFormat.byteCount(rows: rows, ContractionLayout(length: hidden), columns: 0..<hidden))
        weights += end
        activeWeights += end
    }

    /// As checkpoints store it, the vocabulary padded.
    init(
        stored loads: [(load: LayerLoad, count: Int)], of decoder: DecoderConfiguration, at placement: Placement,
        rank: Int, vocabularyUnit: Int
    ) {
        self.init(loads, of: decoder, at: placement, rank: rank)
        let unit = vocabularyUnit * placement.group.count
        let rows = (decoder.vocabularySize + unit - 1) / unit * vocabularyUnit
        let table = 2 * Double(rows) * Double(hidden)
        if placement.isFirstStage { weights += table }
        guard placement.isLastStage else { return }
        headRows = rows
        activeWeights += table
        if !(decoder.tiesEmbeddings && placement.isFirstStage) { weights += table }
    }

    /// Bytes of a step's arena, and those with rank 0's rows of logits.
    func stepBytes(_ shape: RunShape) -> (arena: Int, activations: Int) {
        let tokens = shape.tokensPerStep
        let widest = widths.map { $0.arenaBytes(hidden: hidden, shape) }.max() ?? 0
        var logits = 0
        if let headRows {
            logits +=
                2 * Arena.roundedUp(shape.logitRows * hidden * 4) + Arena.roundedUp(shape.logitRows * headRows * 4)
                + codesBytes(tokens: shape.logitRows, columns: hidden, shape)
        }
        if isFirstRank { logits += Arena.roundedUp(shape.logitRows * vocabulary * 4) }
        let arena =
            2 * Arena.roundedUp(tokens * (rotated / 2) * 4) + 2 * Arena.roundedUp(tokens * hidden * 4)
            + max(widest, logits)
        return (arena, arena + (isFirstRank ? shape.logitRows * vocabulary * 4 : 0))
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

    /// Bytes of activations for a token, by coefficients.
    func perToken(_ coefficients: MemoryProfile.Coefficients) -> Double {
        2 * (coefficients.hidden.value * Double(hidden) + coefficients.intermediate.value * intermediate)
    }

    /// Bytes for a pair of positions.
    func perPair(_ coefficients: MemoryProfile.Coefficients) -> Double {
        coefficients.pairs.value + coefficients.scores.value * unfusedHeads
    }
}

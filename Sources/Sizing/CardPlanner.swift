import Architectures
import MemoryPlan
import Tensors
import Topology

/// Plans cards for one model, stored in one way, under one profile.
public struct CardPlanner {
    public let decoder: DecoderConfiguration
    public let profile: MemoryProfile
    public let storage: StorageChoice
    /// Bytes of a card, as sold.
    public let memory: Double
    /// Fraction of a card's bytes that may be used.
    public let utilization: Double
    private let sizes: LayerSizes
    private let distinctLayers: Set<LayerConfiguration>

    public init(
        _ decoder: DecoderConfiguration, profile: MemoryProfile, storage: StorageChoice, memory: Double,
        utilization: Double? = nil
    ) {
        self.decoder = decoder
        self.profile = profile
        self.storage = storage
        self.memory = memory
        self.utilization = utilization ?? profile.utilization
        sizes = LayerSizes(decoder, storage: storage, profile: profile)
        distinctLayers = Set(decoder.layers)
    }

    /// Bytes of a card that may be used.
    public var usable: Double { memory * utilization }

    /// The upper limit of the search for the longest context, beyond that of every model.
    static let longest = 1 << 28

    /// The memory that each card of a plan needs.
    public struct Demands: Sendable {
        public let plan: ParallelPlan
        /// The distinct cards.
        fileprivate let kinds: [CardDemand]
        /// For each rank, the index of its card in `kinds`.
        fileprivate let kindOfRank: [Int]

        /// The card of each rank.
        public var cards: [CardDemand] { kindOfRank.map { kinds[$0] } }

        /// The card that needs the most memory.
        public func worst(length: Int, batch: Int) -> (rank: Int, bytes: Double) {
            var worst = (kind: 0, bytes: 0.0)
            for (kind, card) in kinds.enumerated() {
                let bytes = card.total(length: length, batch: batch)
                if bytes > worst.bytes { worst = (kind, bytes) }
            }
            return (kindOfRank.firstIndex(of: worst.kind) ?? 0, worst.bytes)
        }
    }

    public func demands(of plan: ParallelPlan) -> Demands {
        let (tensor, layerCount) = (plan.tensorDegree, decoder.layers.count)
        var shardsByWeights: [[Double]?: [Int]] = [:]
        var kinds: [CardDemand] = []
        var places: [CardKind: Int] = [:]
        var kindOfRank: [Int] = []
        for (stage, layers) in plan.stageLayers(layerCount: layerCount).enumerated() {
            let group = plan.shardGroup(ofStage: stage)
            let shards = shardsByWeights[group.weights] ?? shardKinds(group)
            shardsByWeights[group.weights] = shards
            var counts: [Int: Int] = [:]
            for layer in layers {
                counts[storage.layerClasses.isEmpty ? layer : storage.layerClasses[layer], default: 0] += 1
            }
            for shard in 0..<tensor {
                // Rank 0 gathers the logits.
                let kind = CardKind(
                    shard: stage == 0 && shard == 0 ? -1 : shards[shard], weights: group.weights, layers: counts,
                    isFirst: stage == 0, isLast: stage == plan.pipelineDegree - 1)
                if let place = places[kind] {
                    kindOfRank.append(place)
                    continue
                }
                let placement = plan.placement(ofRank: stage * tensor + shards[shard], layerCount: layerCount)
                places[kind] = kinds.count
                kindOfRank.append(kinds.count)
                kinds.append(
                    CardDemand(
                        counts.map { ($0.key, $0.value) }, of: decoder, at: placement, rank: stage * tensor + shard,
                        sizes: sizes))
            }
        }
        return Demands(plan: plan, kinds: kinds, kindOfRank: kindOfRank)
    }

    private struct CardKind: Hashable {
        var shard: Int
        var weights: [Double]?
        var layers: [Int: Int]
        var isFirst: Bool
        var isLast: Bool
    }

    /// For each shard, the first shard with as many heads, columns and rows.
    ///
    /// A shard that begins inside a weight's group may keep one more scale per row; this difference is ignored.
    private func shardKinds(_ group: ShardGroup) -> [Int] {
        let vocabulary = group.shares(of: decoder.vocabularySize).map(\.count)
        var counts = vocabulary.map { [$0] }
        for layer in distinctLayers {
            let layout = layer.feedForward.contraction(shardCount: group.count)
            let columns = group.shares(of: layout.length, unit: layout.unit)
            let placements = HeadPlacement.all(
                queryHeadCount: layer.attention.queryHeadCount, keyValueHeadCount: layer.attention.keyValueHeadCount,
                group: group)
            for (shard, heads) in placements.enumerated() {
                counts[shard] += [heads.queryHeads.count, heads.keyValueHeads.count, columns[shard].count]
            }
        }
        var first: [[Int]: Int] = [:]
        return counts.enumerated().map { shard, key in
            if let known = first[key] { return known }
            first[key] = shard
            return shard
        }
    }

    /// Bytes that are missing on the tightest card; if negative, bytes that are left.
    public func shortage(_ demands: Demands, length: Int, batch: Int) -> Double {
        demands.worst(length: length, batch: batch).bytes - usable
    }

    /// The longest context that the cards hold, in the profile's steps; nil if not even the shortest fits.
    public func longestLength(_ demands: Demands, batch: Int) -> Int? {
        func fits(_ length: Int) -> Bool { shortage(demands, length: length, batch: batch) <= 0 }
        let unit = profile.doublesLength ? profile.minimalLength : profile.cacheBlock
        guard profile.doublesLength else {
            return MemoryPlan.longestLength(unit: unit, limit: Self.longest, fits: fits)
        }
        guard fits(unit) else { return nil }
        var length = unit
        while length * 2 <= Self.longest, fits(length * 2) { length *= 2 }
        return length
    }

    /// The largest number of concurrent sequences of a length; 0 if not even one fits.
    public func largestBatch(_ demands: Demands, length: Int) -> Int {
        func fits(_ batch: Int) -> Bool { shortage(demands, length: length, batch: batch) <= 0 }
        guard fits(1) else { return 0 }
        var (low, high) = (1, 2)
        while high < 1 << 20, fits(high) { (low, high) = (high, 2 * high) }
        while low + 1 < high {
            let middle = (low + high) / 2
            if fits(middle) { low = middle } else { high = middle }
        }
        return low
    }

    /// Why a plan cannot run the model with any amount of memory; nil: it can.
    public func obstacle(tensorDegree: Int, pipelineDegree: Int) -> String? {
        obstacle(ParallelPlan(tensorDegree: tensorDegree, pipelineDegree: pipelineDegree))
    }

    /// Why a plan cannot run the model with any amount of memory; nil: it can.
    public func obstacle(_ plan: ParallelPlan) -> String? {
        let heads = decoder.layers[0].attention.queryHeadCount
        let (tensorDegree, pipelineDegree, cards) = (plan.tensorDegree, plan.pipelineDegree, plan.rankCount)
        guard profile.allowsPipeline || pipelineDegree == 1 else { return "\(profile.name) knows no pipeline" }
        guard cards <= profile.maximumCards, profile.cardCounts?.contains(cards) ?? true else {
            let counts = profile.cardCounts.map { $0.map(String.init).joined(separator: ", ") }
            return "\(profile.name) runs on \(counts ?? "1 to \(profile.maximumCards)") cards"
        }
        if profile.needsEvenHeads,
            let uneven = decoder.layers.first(where: {
                $0.attention.queryHeadCount % tensorDegree != 0
            })
        {
            return "\(tensorDegree) does not divide \(uneven.attention.queryHeadCount) heads"
        }
        do {
            try plan.validate(for: decoder, rankCount: plan.rankCount, names: nil)
            return nil
        } catch {
            return tensorDegree > heads ? "\(tensorDegree) cards cannot share \(heads) heads" : error.problems[0]
        }
    }

    /// The tensor and pipeline degrees whose product is `cards`, fewest stages first.
    public func mixtures(cards: Int) -> [(tensor: Int, pipeline: Int)] {
        (1...cards).filter { cards % $0 == 0 && (profile.allowsPipeline || $0 == 1) }.map { (cards / $0, $0) }
    }

    /// A plan and the longest context that its cards hold.
    public struct Option: Sendable {
        public let demands: Demands
        /// The longest context that memory allows for the batch; nil: none fits.
        public let longestLength: Int?
    }

    /// The result of trying a number of cards.
    public enum Trial: Sendable {
        /// The first plan that holds the length.
        case fits(Option)
        /// The bytes that are missing on the tightest card of the plan that comes nearest.
        case short(Double)
        /// Why no plan uses this number of cards.
        case impossible(String)
    }

    /// Tries whether a number of cards holds sequences of a length.
    public func trial(cards: Int, length: Int, batch: Int) -> Trial {
        var best: (demands: Demands, shortage: Double)?
        var reason: String?
        for (tensor, pipeline) in mixtures(cards: cards) {
            if let obstacle = obstacle(tensorDegree: tensor, pipelineDegree: pipeline) {
                reason = reason ?? obstacle
                continue
            }
            let demands = demands(of: ParallelPlan(tensorDegree: tensor, pipelineDegree: pipeline))
            let shortage = shortage(demands, length: length, batch: batch)
            if best.map({ shortage < $0.shortage }) ?? true { best = (demands, shortage) }
            // Plans with fewer stages answer sooner, so the first one that fits is taken.
            if shortage <= 0 { break }
        }
        guard let best else { return .impossible(reason ?? "no plan") }
        guard best.shortage <= 0 else { return .short(best.shortage) }
        return .fits(Option(demands: best.demands, longestLength: longestLength(best.demands, batch: batch)))
    }

    /// The numbers of cards that may be tried, in ascending order.
    public var cardCounts: [Int] {
        guard let counts = profile.cardCounts else { return Array(1...profile.maximumCards) }
        return counts.sorted()
    }

    /// Why a number of cards is not enough.
    public enum Reason: Sendable, CustomStringConvertible {
        /// The bytes that are missing on the tightest card of the best plan at a length.
        case short(Double, length: Int)
        /// A lower bound of the missing bytes: even an equal share of weights and cache does not fit.
        case atLeast(Double, length: Int)
        case impossible(String)

        public var description: String {
            switch self {
            case .short(let bytes, let length): "short by \(gibibytes(bytes)) at \(shortLength(length))"
            case .atLeast(let bytes, let length):
                "short by more than \(gibibytes(bytes)) at \(shortLength(length))"
            case .impossible(let reason): reason
            }
        }
    }

    /// The fewest cards that are enough, and why fewer are not.
    public struct Fewest: Sendable {
        /// The plan; nil if not even the most cards that the profile allows are enough.
        public let option: Option?
        /// The numbers of cards that were tried in vain, the largest first.
        public let tried: [(cards: Int, reason: Reason)]
    }

    /// Looks for the fewest cards that hold sequences of a length.
    public func fewestCards(length: Int, batch: Int) -> Fewest {
        var tried: [(Int, Reason)] = []
        // A lower bound for a card of any plan: an equal share of weights and cache, plus the activations of the widest
        // tensor group. The factor 0.98 allows for shares that add up to less, because the whole is rounded up more.
        let whole = demands(of: ParallelPlan(tensorDegree: 1, pipelineDegree: 1)).cards[0]
        let divisible = whole.weights * 0.98 + whole.cache(length: length, batch: batch) * 0.98
        let room = usable - whole.overhead - leastActivations(length: length, batch: batch)
        let counts = cardCounts
        for cards in counts {
            let missing = divisible - room * Double(cards)
            if missing > 0, cards < counts[counts.count - 1] || room <= 0 {
                tried.append((cards, .atLeast(missing / Double(cards), length: length)))
                continue
            }
            switch trial(cards: cards, length: length, batch: batch) {
            case .fits(let option): return Fewest(option: option, tried: tried.reversed())
            case .short(let bytes): tried.append((cards, .short(bytes, length: length)))
            case .impossible(let reason): tried.append((cards, .impossible(reason)))
            }
        }
        return Fewest(option: nil, tried: tried.reversed())
    }

    /// Bytes of activations of a card in the widest tensor group that can share the model.
    private func leastActivations(length: Int, batch: Int) -> Double {
        var degree = min(decoder.layers[0].attention.queryHeadCount, profile.cardCounts?.max() ?? profile.maximumCards)
        while degree > 1, obstacle(tensorDegree: degree, pipelineDegree: 1) != nil { degree /= 2 }
        let plan = ParallelPlan(tensorDegree: max(1, degree), pipelineDegree: 1)
        // The last shard is the smallest.
        let card = CardDemand(decoder, plan: plan, rank: plan.rankCount - 1, storage: storage, profile: profile)
        return plan.rankCount > 1 ? card.activations(length: length, batch: batch) : 0
    }

    /// A plan with its longest context; nil if the model cannot be divided that way.
    public func option(_ plan: ParallelPlan, batch: Int) -> Option? {
        guard obstacle(plan) == nil else { return nil }
        let demands = demands(of: plan)
        return Option(demands: demands, longestLength: longestLength(demands, batch: batch))
    }

    /// The cards that an answer is about.
    public struct Choice: Sendable {
        public let fewest: Fewest
        /// The plan for these cards; nil if they are not enough.
        public let option: Option?
        /// Why the requested cards are not enough; nil: they are, or none were requested.
        public let reason: Reason?
    }

    /// The fewest cards for a length, and the plan for the requested cards.
    ///
    /// - Parameters:
    ///   - fixed: the requested plan.
    ///   - cards: the requested number of cards; if both are nil, the fewest cards are chosen.
    public func choice(fixed: ParallelPlan?, cards: Int?, length: Int, batch: Int) throws(SizingError) -> Choice {
        let fewest = fewestCards(length: length, batch: batch)
        if let fixed {
            if let obstacle = obstacle(fixed) { throw .badPlan(obstacle) }
            let demands = demands(of: fixed)
            let missing = shortage(demands, length: length, batch: batch)
            let longest = longestLength(demands, batch: batch)
            return Choice(
                fewest: fewest, option: longest == nil ? nil : Option(demands: demands, longestLength: longest),
                reason: missing > 0 ? .short(missing, length: length) : nil)
        }
        guard let cards else { return Choice(fewest: fewest, option: fewest.option, reason: nil) }
        switch trial(cards: cards, length: length, batch: batch) {
        case .fits(let found): return Choice(fewest: fewest, option: found, reason: nil)
        case .short(let bytes): return Choice(fewest: fewest, option: nil, reason: .short(bytes, length: length))
        case .impossible(let reason): throw .badPlan("\(cards) cards: \(reason)")
        }
    }
}

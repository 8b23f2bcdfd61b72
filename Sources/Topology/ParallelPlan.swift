import Messages

/// How many ways each layer is divided and into how many stages the layers are grouped.
///
/// Rank = stage · T + shard. The files in `Topologies/` show its JSON form.
public struct ParallelPlan: Codable, Equatable, Sendable {
    /// Ranks that share each layer.
    public var tensorDegree: Int
    /// Stages, each with a run of consecutive layers.
    public var pipelineDegree: Int
    /// The number of layers of each stage; nil: divided evenly, or in proportion to the ranks' weights.
    public var layerCounts: [Int]?
    /// The relative speed of each rank; nil: all are equal.
    public var weights: [Double]?

    /// The range of degrees, whose products stay far from overflow.
    public static let degreeRange = 1...1 << 16
    /// The range of weights, whose sums and quotients stay finite, so that a share is always a number.
    public static let weightRange = 1e-6...1e6

    /// The keys of a topology file.
    public enum CodingKeys: String, CodingKey, CaseIterable {
        case tensorDegree = "tensor_parallel_size"
        case pipelineDegree = "pipeline_parallel_size"
        case layerCounts = "layers"
        case weights
    }

    public init(tensorDegree: Int, pipelineDegree: Int, layerCounts: [Int]? = nil, weights: [Double]? = nil) {
        self.tensorDegree = tensorDegree
        self.pipelineDegree = pipelineDegree
        self.layerCounts = layerCounts
        self.weights = weights
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            tensorDegree: try container.decodeIfPresent(Int.self, forKey: .tensorDegree) ?? 1,
            pipelineDegree: try container.decodeIfPresent(Int.self, forKey: .pipelineDegree) ?? 1,
            layerCounts: try container.decodeIfPresent([Int].self, forKey: .layerCounts),
            weights: try container.decodeIfPresent([Double].self, forKey: .weights))
    }

    /// The total number of ranks, T · P.
    public var rankCount: Int { tensorDegree * pipelineDegree }

    /// The tensor group of a stage.
    public func shardGroup(ofStage stage: Int) -> ShardGroup {
        ShardGroup(
            count: tensorDegree,
            weights: weights.map { Array($0[stage * tensorDegree..<(stage + 1) * tensorDegree]) })
    }

    /// The layers of each stage.
    public func stageLayers(layerCount: Int) -> [Range<Int>] {
        if let layerCounts {
            var start = 0
            return layerCounts.map { count in
                defer { start += count }
                return start..<start + count
            }
        }
        if let weights, Set(weights).count > 1 {
            let stageWeights = (0..<pipelineDegree).map { stage in
                weights[stage * tensorDegree..<(stage + 1) * tensorDegree].reduce(0, +)
            }
            return weightedRanges(of: layerCount, by: stageWeights)
        }
        return balancedRanges(of: layerCount, into: pipelineDegree)
    }

    /// The place of a rank in the plan.
    public func placement(ofRank rank: Int, layerCount: Int) -> Placement {
        let stage = rank / tensorDegree
        return Placement(
            stage: stage, stageCount: pipelineDegree, shard: rank % tensorDegree, group: shardGroup(ofStage: stage),
            layers: stageLayers(layerCount: layerCount)[stage])
    }

    /// The problems of the plan itself, one message each; of the model, only the number of layers matters.
    public func problems(rankCount: Int, layerCount: Int) -> [String] {
        let degrees = Self.degreeRange
        guard degrees.contains(tensorDegree), degrees.contains(pipelineDegree) else {
            return [
                "tensor and pipeline parallel sizes must be from \(degrees.lowerBound) to \(degrees.upperBound), "
                    + "not \(tensorDegree) and \(pipelineDegree)"
            ]
        }
        var problems: [String] = []
        if self.rankCount != rankCount {
            problems.append(
                "tensor parallel size \(tensorDegree) times pipeline parallel size \(pipelineDegree) is "
                    + "\(self.rankCount), but \(rankCount == 1 ? "there is 1 rank" : "there are \(rankCount) ranks"); start \(self.rankCount) ranks or change the sizes"
            )
        }
        if let weights {
            if weights.count != self.rankCount {
                problems.append(
                    "the topology gives \(weights.count) weights for \(self.rankCount) ranks; give one for each")
            } else if !weights.allSatisfy(Self.weightRange.contains) {
                problems.append("the topology's weights must be numbers from 0.000001 to 1000000, such as 2 and 1")
            }
        }
        if let layerCounts {
            if layerCounts.count != pipelineDegree {
                problems.append(
                    "the topology gives layers for \(layerCounts.count) stages, but there are \(pipelineDegree)")
            } else if layerCounts.contains(where: { $0 < 1 || $0 > layerCount })
                || layerCounts.reduce(0, +) != layerCount
            {
                problems.append(
                    "the topology's layers \(listed(layerCounts)) must be 1 or more each and \(layerCount) together")
            }
        } else if pipelineDegree > layerCount {
            problems.append("\(pipelineDegree) stages cannot share \(layerCount) layers; use at most \(layerCount)")
        }
        return problems
    }
}

/// A rank's place in the plan: its stage, its shard of that stage, and its layers.
///
/// The first stage has the embedding, the last one the head.
public struct Placement: Equatable, Sendable {
    public let stage: Int
    public let stageCount: Int
    public let shard: Int
    public let group: ShardGroup
    public let layers: Range<Int>

    public var isFirstStage: Bool { stage == 0 }
    public var isLastStage: Bool { stage == stageCount - 1 }
}

import Foundation
import TestSupport
import Testing
import Topology

@Suite struct ParallelPlanTests {
    @Test func everyLayerBelongsToOneStage() {
        var faults = Faults()
        faults.check(Array(1...64), Array(1...16), [1, 3]) { layerCount, stages, shards in
            guard stages <= layerCount else { return nil }
            for plan in plans(layerCount: layerCount, stages: stages, shards: shards) {
                if let fault = stageFault(plan, layerCount: layerCount) { return "\(fault) in \(plan)" }
            }
            return nil
        }
        #expect(faults.description == "")
    }

    @Test func ranksAreShardsWithinStages() {
        for stages in 1...5 {
            for shards in 1...5 {
                let plan = ParallelPlan(tensorDegree: shards, pipelineDegree: stages)
                #expect(plan.rankCount == stages * shards)
                for stage in 0..<stages {
                    for shard in 0..<shards {
                        let placement = plan.placement(ofRank: stage * shards + shard, layerCount: 13)
                        #expect(placement.stage == stage && placement.shard == shard && placement.stageCount == stages)
                        #expect(
                            placement.isFirstStage == (stage == 0) && placement.isLastStage == (stage == stages - 1))
                        #expect(placement.layers == balancedRanges(of: 13, into: stages)[stage])
                        #expect(placement.group == ShardGroup(count: shards))
                    }
                }
            }
        }
    }

    @Test func weightsGoToShardsAndStages() {
        let plan = ParallelPlan(tensorDegree: 2, pipelineDegree: 2, weights: [2, 1, 1, 1])
        // 20 layers are divided 3 : 2.
        #expect(plan.stageLayers(layerCount: 20) == [0..<12, 12..<20])
        #expect(plan.shardGroup(ofStage: 0) == ShardGroup(count: 2, weights: [2, 1]))
        // Ranks 2 and 3 are equally fast, so their stage keeps the sums of the even plan.
        #expect(plan.shardGroup(ofStage: 1).nestsInSlices)
        var explicit = plan
        explicit.layerCounts = [15, 5]
        #expect(explicit.stageLayers(layerCount: 20) == [0..<15, 15..<20])
    }

    @Test func jsonOfATopologyFileRoundTrips() throws {
        let text =
            #"{"tensor_parallel_size": 2, "pipeline_parallel_size": 2, "layers": [12, 10], "weights": [2, 1, 1, 1]}"#
        let plan = try JSONDecoder().decode(ParallelPlan.self, from: Data(text.utf8))
        #expect(
            plan == ParallelPlan(tensorDegree: 2, pipelineDegree: 2, layerCounts: [12, 10], weights: [2, 1, 1, 1]))
        for plan in [
            plan, ParallelPlan(tensorDegree: 3, pipelineDegree: 1), ParallelPlan(tensorDegree: 1, pipelineDegree: 4),
        ] {
            #expect(try JSONDecoder().decode(ParallelPlan.self, from: JSONEncoder().encode(plan)) == plan)
        }
        let keys = try JSONSerialization.jsonObject(with: JSONEncoder().encode(plan)) as? [String: Any]
        #expect(keys.map { Set($0.keys) } == ["tensor_parallel_size", "pipeline_parallel_size", "layers", "weights"])
        #expect(
            try JSONDecoder().decode(ParallelPlan.self, from: Data("{}".utf8))
                == ParallelPlan(tensorDegree: 1, pipelineDegree: 1))
    }

    @Test(arguments: [
        "[]", "3", "null", #"{"layers": "12,10"}"#, #"{"tensor_parallel_size": 1.5}"#, #"{"weights": [null]}"#,
    ])
    func jsonOfAnotherShapeIsRefused(text: String) {
        #expect(throws: DecodingError.self) { try JSONDecoder().decode(ParallelPlan.self, from: Data(text.utf8)) }
    }

    @Test func plansThatFitHaveNoProblems() {
        var faults = Faults()
        faults.check(Array(1...64), Array(1...16), [1, 3]) { layerCount, stages, shards in
            guard stages <= layerCount else { return nil }
            for plan in plans(layerCount: layerCount, stages: stages, shards: shards) {
                let problems = plan.problems(rankCount: stages * shards, layerCount: layerCount)
                if !problems.isEmpty { return "\(problems) of \(plan)" }
            }
            return nil
        }
        #expect(faults.description == "")
    }

    @Test func eachFaultIsNamed() {
        func problems(_ plan: ParallelPlan, ranks: Int = 4, layers: Int = 22) -> [String] {
            plan.problems(rankCount: ranks, layerCount: layers)
        }
        func expect(
            _ problems: [String], _ words: String..., count: Int = 1, location: SourceLocation = #_sourceLocation
        ) {
            #expect(problems.count == count, "\(problems)", sourceLocation: location)
            for word in words {
                #expect(problems.joined(separator: "\n").contains(word), "\(problems)", sourceLocation: location)
            }
        }
        for (tensor, pipeline) in [(0, 1), (1, 0), (-2, -2), (65537, 1), (1, Int.max), (Int.max, Int.max)] {
            expect(
                problems(ParallelPlan(tensorDegree: tensor, pipelineDegree: pipeline)), "from 1 to 65536", "\(tensor)",
                "\(pipeline)")
        }
        let plan = ParallelPlan(tensorDegree: 2, pipelineDegree: 2)
        expect(
            problems(plan, ranks: 3), "tensor parallel size 2", "pipeline parallel size 2", "start 4 ranks", "3 ranks")
        func with(layers: [Int]? = nil, weights: [Double]? = nil) -> [String] {
            problems(ParallelPlan(tensorDegree: 2, pipelineDegree: 2, layerCounts: layers, weights: weights))
        }
        expect(with(layers: [22]), "1 stages", "there are 2")
        for layers in [[11, 10], [23, -1], [22, 0], [12, 11], [Int.max, Int.max], [Int.min, 22]] {
            expect(with(layers: layers), "\(layers)", "22 together")
        }
        expect(with(weights: [1, 2]), "2 weights for 4 ranks")
        for weight in [0, -1, Double.nan, .infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude] {
            expect(with(weights: [1, 1, weight, weight]), "weights must be numbers from")
        }
        expect(
            problems(ParallelPlan(tensorDegree: 1, pipelineDegree: 4), layers: 3), "4 stages", "3 layers", "at most 3")
        // All problems are reported at once.
        expect(
            problems(ParallelPlan(tensorDegree: 2, pipelineDegree: 2, layerCounts: [1], weights: [1]), ranks: 1),
            "start 4 ranks",
            "1 weights", "1 stages", count: 3)
    }

    /// Even plans, plans with given layers (the last stage gets all the rest), and plans with three kinds of weights.
    private func plans(layerCount: Int, stages: Int, shards: Int) -> [ParallelPlan] {
        let ranks = stages * shards
        let rest = layerCount - stages + 1
        let last = Array(repeating: 1, count: stages - 1) + [rest]
        let weights: [[Double]] = [
            (0..<ranks).map { Double($0 + 1) }, (0..<ranks).map { $0 == 0 ? 1000 : 1 },
            Array(repeating: 0.3, count: ranks),
        ]
        return [(nil, nil), (last, nil), (last.reversed(), weights[0])].map {
            ParallelPlan(tensorDegree: shards, pipelineDegree: stages, layerCounts: $0.0, weights: $0.1)
        } + weights.map { ParallelPlan(tensorDegree: shards, pipelineDegree: stages, weights: $0) }
    }

    private func stageFault(_ plan: ParallelPlan, layerCount: Int) -> String? {
        let stages = plan.stageLayers(layerCount: layerCount)
        if let fault = partitionFault(stages, of: layerCount, parts: plan.pipelineDegree, unit: 1) { return fault }
        if stages.contains(where: \.isEmpty) { return "a stage has no layer" }
        if let given = plan.layerCounts, stages.map(\.count) != given { return "not the layers given" }
        // Check the last shard of each stage.
        for (stage, layers) in stages.enumerated() {
            let rank = (stage + 1) * plan.tensorDegree - 1
            if plan.placement(ofRank: rank, layerCount: layerCount).layers != layers {
                return "rank \(rank) has other layers"
            }
        }
        return nil
    }
}

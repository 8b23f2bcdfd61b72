import Architectures
import Foundation
import Sizing
import Tensors
import TestSupport
import Testing
import Topology

/// Storage with all weights in one format, or stored in a scheme.
func storage(_ scheme: String = "none", _ format: ComputeFormat = .bfloat16) -> StorageChoice {
    StorageChoice(
        name: scheme, formats: { _ in { _ in format } }, scheme: StoredScheme.named(scheme) ?? StoredScheme.all[0],
        cacheType: .float16, quantizesActivations: true)
}

func catalogued(_ name: String) throws -> DecoderConfiguration {
    try #require(ModelCatalogue.entry(named: name), "\(name)").decoder()
}

@Suite struct PlannerTests {
    private func planner(
        _ name: String, _ profile: String, gibibytes: Double, _ choice: StorageChoice = storage()
    ) throws -> CardPlanner {
        CardPlanner(
            try catalogued(name), profile: try MemoryProfile(named: profile), storage: choice,
            memory: gibibytes * 0x1p30)
    }

    @Test(
        arguments: ["trireme", "vllm-cuda", "ascend-vllm"],
        ["llama2-7b", "qwen2-7b", "mixtral-8x7b", "deepseek-v2-lite-16b"])
    func theLongestLengthIsTheLastThatFits(profile: String, model: String) throws {
        let planner = try planner(model, profile, gibibytes: 64)
        let option = try #require(planner.fewestCards(length: 4096, batch: 2).option)
        let length = try #require(planner.longestLength(option.demands, batch: 2))
        #expect(planner.shortage(option.demands, length: length, batch: 2) <= 0)
        let next = planner.profile.doublesLength ? 2 * length : length + planner.profile.cacheBlock
        #expect(planner.shortage(option.demands, length: next, batch: 2) > 0)
        let batch = planner.largestBatch(option.demands, length: 4096)
        #expect(batch >= 2 && planner.shortage(option.demands, length: 4096, batch: batch) <= 0)
        #expect(planner.shortage(option.demands, length: 4096, batch: batch + 1) > 0)
    }

    @Test func fewestCardsAreFewest() throws {
        for memory in [4.0, 8, 16, 40] {
            let planner = try planner("llama2-13b", "trireme", gibibytes: memory)
            let fewest = planner.fewestCards(length: 4096, batch: 1)
            let cards = try #require(fewest.option).demands.plan.rankCount
            #expect(fewest.tried.map(\.cards) == Array(1..<cards).reversed())
            for fewer in 1..<max(2, cards) where fewer < cards {
                if case .fits = planner.trial(cards: fewer, length: 4096, batch: 1) {
                    Issue.record("\(fewer) of \(memory) GiB would do")
                }
            }
        }
    }

    /// Equal cards are computed once, and the result is the same as computing each alone.
    @Test(arguments: [(1, 1), (2, 1), (3, 2), (5, 1), (8, 3), (14, 1), (4, 7)]) func alikeCardsAreAlike(
        degrees: (tensor: Int, pipeline: Int)
    ) throws {
        for (profile, name) in [
            ("trireme", "qwen2-7b"), ("vllm-cuda", "deepseek-v2-lite-16b"), ("trireme", "gemma2-2b"),
        ] {
            let planner = try planner(name, profile, gibibytes: 8, storage("int4", .int4(WeightGroups(size: 128))))
            let plan = ParallelPlan(tensorDegree: degrees.tensor, pipelineDegree: degrees.pipeline)
            guard plan.problems(rankCount: plan.rankCount, layerCount: planner.decoder.layers.count).isEmpty,
                degrees.tensor <= planner.decoder.layers[0].attention.queryHeadCount
            else { continue }
            let cards = planner.demands(of: plan).cards
            #expect(cards.count == plan.rankCount)
            for (rank, card) in cards.enumerated() {
                let alone = CardDemand(
                    planner.decoder, plan: plan, rank: rank, storage: planner.storage, profile: planner.profile)
                let expected = alone.total(length: 5000, batch: 3)
                // A shard that begins inside a weight's group has one more scale per row.
                #expect(abs(card.total(length: 5000, batch: 3) - expected) <= 0.001 * expected, "\(name), rank \(rank)")
            }
        }
    }

    @Test func obstaclesAreNamed() throws {
        let ascend = try planner("qwen2-57b-a14b", "ascend-vllm", gibibytes: 32)
        let fewest = ascend.fewestCards(length: 4096, batch: 1)
        #expect(fewest.option == nil)
        #expect(fewest.tried.first?.reason.description == "8 does not divide 28 heads")
        #expect(fewest.tried.dropFirst().first?.reason.description.contains("short by") == true)
        let own = try planner("qwen2-0.5b", "trireme", gibibytes: 32)
        #expect(own.obstacle(tensorDegree: 14, pipelineDegree: 24) == nil)
        #expect(own.obstacle(tensorDegree: 15, pipelineDegree: 1) != nil)
        #expect(own.obstacle(tensorDegree: 1, pipelineDegree: 25) != nil)
        #expect(throws: SizingError.self) {
            try own.choice(fixed: nil, cards: 29 * 31, length: 4096, batch: 1)  // 31 stages of 24 layers
        }
    }

    @Test func readingBoundsDecoding() throws {
        let planner = try planner("llama2-7b", "trireme", gibibytes: 64)
        func bound(_ tensor: Int, _ pipeline: Int, link: LinkModel? = nil) -> DecodeBound {
            DecodeBound(
                planner.decoder,
                demands: planner.demands(of: ParallelPlan(tensorDegree: tensor, pipelineDegree: pipeline)),
                length: 1024, bandwidth: 40e9, link: link)
        }
        let alone = bound(1, 1)
        // A token reads 1024 tokens of cache, but not the embedding.
        let bytes = 2 * Double(try catalogued("llama2-7b").parameterCount - 32000 * 4096) + 524_288 * 1024
        #expect(abs(alone.readMilliseconds - bytes / 40e9 * 1e3) < 0.01 * alone.readMilliseconds)
        #expect(alone.communicationMilliseconds == nil)
        // Shards read concurrently; stages do not.
        #expect(abs(bound(2, 1).readMilliseconds / alone.readMilliseconds - 0.5) < 0.01)
        #expect(abs(bound(1, 2).readMilliseconds / alone.readMilliseconds - 1) < 0.01)
        // Windows limit how much of the cache is read, and only the chosen experts are read.
        func read(_ name: String, length: Int) throws -> Double {
            let planner = try self.planner(name, "vllm-cuda", gibibytes: 1000)
            return DecodeBound(
                planner.decoder, demands: planner.demands(of: ParallelPlan(tensorDegree: 1, pipelineDegree: 1)),
                length: length, bandwidth: 1, link: nil
            ).readMilliseconds / 1e3
        }
        let mistral = try read("mistral-7b", length: 32768) - read("mistral-7b", length: 4096)
        #expect(mistral == 0)
        let llama = try read("llama2-7b", length: 32768) - read("llama2-7b", length: 4096)
        #expect(abs(llama - 524_288 * 28672) < 1)
        let qwen = try catalogued("qwen3-30b-a3b")
        let active = 2 * Double(qwen.activeParameterCount - qwen.vocabularySize * qwen.hiddenSize)
        #expect(abs(try read("qwen3-30b-a3b", length: 0) / active - 1) < 0.001)
        let link = LinkModel(alphaMicroseconds: 10, betaNanosecondsPerByte: 1)
        // There are 2 x 32 all-reduces of 16 KiB.
        #expect(bound(2, 1, link: link).communicationMilliseconds.map { abs($0 - 64 * 26.384e-3) < 1e-9 } == true)
        #expect(bound(1, 1, link: link).communicationMilliseconds == 0)
    }
}

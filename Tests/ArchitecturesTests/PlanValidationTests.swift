import Architectures
import Testing
import Topology

@Suite struct PlanValidationTests {
    private func problems(_ plan: ParallelPlan, _ decoder: DecoderConfiguration, ranks: Int? = nil) -> [String] {
        do throws(PlanError) {
            try plan.validate(for: decoder, rankCount: ranks ?? plan.rankCount, names: .huggingFace)
            return []
        } catch {
            return error.problems
        }
    }

    @Test func plansUpToTheHeadsAreTaken() throws {
        let decoder = try decoder(smallConfiguration())
        for shards in 1...8 {
            for stages in 1...3 {
                #expect(problems(ParallelPlan(tensorDegree: shards, pipelineDegree: stages), decoder) == [])
            }
        }
    }

    @Test func tooFewHeadsAreNamedWithTheDegreesThatWork() throws {
        let decoder = try decoder(smallConfiguration())
        for shards in [9, 16] {
            let problems = problems(ParallelPlan(tensorDegree: shards, pipelineDegree: 1), decoder)
            #expect(
                problems == [
                    "tensor \"model.layers.0.self_attn.q_proj.weight\" has 8 heads, which \(shards) ranks cannot share; "
                        + "use a tensor parallel size from 1 to 8"
                ])
        }
    }

    @Test func tooFewColumnsAreNamedWithTheDegreesThatWork() throws {
        // 18 columns make 5 units of 4, the last one short.
        let decoder = try decoder(smallConfiguration("llama", ["intermediate_size": "18"]))
        for shards in 1...5 { #expect(problems(ParallelPlan(tensorDegree: shards, pipelineDegree: 1), decoder) == []) }
        let problems = problems(ParallelPlan(tensorDegree: 6, pipelineDegree: 1), decoder)
        #expect(problems.count == 1)
        #expect(problems.first?.contains("\"model.layers.0.mlp.gate_proj.weight\" has 5 pieces") == true, "\(problems)")
        #expect(problems.first?.contains("from 1 to 5") == true, "\(problems)")
    }

    @Test func tooSmallAVocabularyIsNamed() throws {
        let decoder = try decoder(smallConfiguration("llama", ["vocab_size": "3"]))
        #expect(problems(ParallelPlan(tensorDegree: 3, pipelineDegree: 1), decoder) == [])
        let problems = problems(ParallelPlan(tensorDegree: 4, pipelineDegree: 1), decoder)
        #expect(problems.count == 1)
        #expect(problems.first?.contains("\"model.embed_tokens.weight\" has 3 rows") == true, "\(problems)")
        #expect(problems.first?.contains("from 1 to 3") == true, "\(problems)")
    }

    @Test func allProblemsComeAtOnce() throws {
        let decoder = try decoder(smallConfiguration("llama", ["vocab_size": "3", "intermediate_size": "18"]))
        let tensors = problems(ParallelPlan(tensorDegree: 9, pipelineDegree: 1), decoder)
        #expect(tensors.count == 3, "\(tensors)")
        // A plan that is invalid in itself is not checked against the model.
        let plan = ParallelPlan(tensorDegree: 9, pipelineDegree: 4)
        let own = problems(plan, decoder, ranks: 2)
        #expect(own.count == 2 && own[0].contains("2 ranks") && own[1].contains("3 layers"), "\(own)")
        #expect(PlanError(problems: own).description == own.joined(separator: "; "))
    }

    /// Every accepted plan gives each shard a head, a column and a row of the vocabulary.
    @Test func acceptedPlansLeaveNobodyWithout() throws {
        for (heads, wide, vocabulary) in [
            ("8", "96", "160"), ("6", "18", "9"), ("14", "4864", "151936"), ("40", "13824", "32000"),
        ] {
            let decoder = try decoder(
                smallConfiguration(
                    "llama",
                    [
                        "num_attention_heads": heads, "num_key_value_heads": "1", "head_dim": "8",
                        "intermediate_size": wide,
                        "vocab_size": vocabulary,
                    ]))
            for degree in 1...64 {
                let weighted = ParallelPlan(
                    tensorDegree: degree, pipelineDegree: 1, weights: (1...degree).map(Double.init))
                for plan in [ParallelPlan(tensorDegree: degree, pipelineDegree: 1), weighted]
                where problems(plan, decoder).isEmpty {
                    let group = plan.shardGroup(ofStage: 0)
                    let inner = decoder.layers[0].feedForward.contraction(shardCount: degree)
                    let shares = [
                        group.shares(of: decoder.layers[0].attention.queryHeadCount),
                        group.shares(of: inner.length, unit: inner.unit),
                        group.shares(of: decoder.vocabularySize),
                    ]
                    #expect(
                        shares.allSatisfy { $0.allSatisfy { !$0.isEmpty } },
                        "\(plan) of \(heads) heads, \(wide), \(vocabulary)")
                }
            }
        }
    }
}

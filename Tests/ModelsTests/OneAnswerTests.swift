import Kernels
import Tensors
import TestSupport
import Testing
import Topology

/// The answer has the same bits at every degree, chunking, batch, table and number of threads.
@Suite struct OneAnswerTests {
    /// A prompt of 40 tokens in one step.
    private static let whole: [[TinyRun.Chunk]] = [[(0, 0, tinyText(40))]]

    private static let evenPlans = [
        ParallelPlan(tensorDegree: 2, pipelineDegree: 1), ParallelPlan(tensorDegree: 4, pipelineDegree: 1),
        ParallelPlan(tensorDegree: 8, pipelineDegree: 1), ParallelPlan(tensorDegree: 1, pipelineDegree: 2),
        ParallelPlan(tensorDegree: 2, pipelineDegree: 2, layerCounts: nil),
    ]

    @Test(arguments: TinyModel.all, TinyFormat.allCases) func shardedEqualsWhole(model: TinyModel, format: TinyFormat)
        throws
    {
        let configuration = try model.open().decoder
        let heads = configuration.layers[0].attention.queryHeadCount
        let expected = try TinyRun(model: model, format: format).logits(Self.whole).flatMap { $0 }
        let isFinite = expected.allSatisfy { $0.isFinite }
        #expect(isFinite)
        for plan in Self.evenPlans where plan.tensorDegree <= heads {
            let found = try TinyRun(model: model, format: format, plan: plan).logits(Self.whole).flatMap { $0 }
            #expect(
                difference(found, expected) == nil, "\(model) \(format) T \(plan.tensorDegree) P \(plan.pipelineDegree)"
            )
        }
    }

    /// Plans whose shards cut through slices agree within rounding; sums have a few hundred products of order one.
    @Test(arguments: TinyModel.all, [TinyFormat.float32, .int8]) func unevenPlansAgree(
        model: TinyModel, format: TinyFormat
    ) throws {
        // Scores that are not scaled down make a softmax so sharp that a step of one code may change any answer.
        let isSharp = try model.open().decoder.layers.contains { layer in
            if case .groupedQuery(let attention) = layer.attention { attention.scoreScale >= 1 } else { false }
        }
        guard !(isSharp && format.isQuantized) else { return }
        let expected = try TinyRun(model: model, format: format).logits(Self.whole).flatMap { $0 }
        let spread = expected.reduce(0) { max($0, abs($1)) }
        for plan in [
            ParallelPlan(tensorDegree: 3, pipelineDegree: 1), ParallelPlan(tensorDegree: 5, pipelineDegree: 1),
            ParallelPlan(tensorDegree: 2, pipelineDegree: 1, weights: [2, 1]),
            ParallelPlan(tensorDegree: 2, pipelineDegree: 2, weights: [3, 1, 1, 1]),
        ] {
            let found = try TinyRun(model: model, format: format, plan: plan).logits(Self.whole).flatMap { $0 }
            let worst = zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
            // Rounding a sum may move an activation to the next of 255 codes, which changes logits by some thousandths.
            #expect(
                worst <= spread * (format.isQuantized ? 0.05 : 1e-4),
                "\(model) \(format) \(plan): off by \(worst) of \(spread)")
        }
    }

    /// A text of several blocks of the cache, which two sequences take in turn.
    @Test func longTextsUseTheirOwnBlocks() throws {
        let text = tinyText(150)
        var run = TinyRun(model: TinyModel.all[0])
        run.limits.tokenCount = 150
        let expected = try run.logits([[(0, 0, text)]])
        let other = tinyText(150, seed: 2)
        let pieces: [[TinyRun.Chunk]] = stride(from: 0, to: 150, by: 50).map {
            [(1, $0, Array(other[$0..<$0 + 50])), (0, $0, Array(text[$0..<$0 + 50]))]
        }
        let found = try run.logits(pieces)
        let rows = found.indices.filter { $0 % 100 >= 50 }.map { found[$0] }
        #expect(difference(rows.flatMap { $0 }, expected.flatMap { $0 }) == nil)
    }

    @Test(arguments: TinyModel.all, [TinyFormat.float32, .bfloat16, .int8, .int4Asymmetric])
    func chunksAndBatchesEqualWhole(model: TinyModel, format: TinyFormat) throws {
        let text = tinyText(40)
        let expected = try TinyRun(model: model, format: format).logits(Self.whole)
        let pieces: [[TinyRun.Chunk]] = [
            [(0, 0, Array(text[..<7]))], [(0, 7, Array(text[7..<8]))], [(0, 8, Array(text[8..<31]))],
            [(0, 31, Array(text[31...]))],
        ]
        let single: [[TinyRun.Chunk]] = text.indices.map { [(0, $0, [text[$0]])] }
        for steps in [pieces, single] {
            let found = try TinyRun(model: model, format: format, threads: 2).logits(steps)
            #expect(
                difference(found.flatMap { $0 }, expected.flatMap { $0 }) == nil,
                "\(model) \(format), \(steps.count) steps")
        }
        // The sequence runs in a batch with others that are at other positions.
        let other = tinyText(40, seed: 5)
        var steps: [[TinyRun.Chunk]] = [[(1, 0, Array(other[..<9])), (2, 0, Array(other[3..<20]))]]
        for index in text.indices {
            steps.append([
                (1, 9 + index, [other[index]]), (0, index, [text[index]]), (2, 17 + index, [other[39 - index]]),
            ])
        }
        let found = try TinyRun(model: model, format: format).logits(steps)
        let mine = text.indices.map { found[9 + 17 + $0 * 3 + 1] }
        #expect(difference(mine.flatMap { $0 }, expected.flatMap { $0 }) == nil, "\(model) \(format) in a batch")
    }

    @Test(arguments: [TinyFormat.float32, .bfloat16, .float16, .int8, .int4], KeyValueType.allCases)
    func tablesAgree(format: TinyFormat, cacheType: KeyValueType) throws {
        let run = TinyRun(model: TinyModel.all[0], format: format, kernels: "scalar", cacheType: cacheType)
        let reference = try run.logits(Self.whole).flatMap { $0 }
        for table in KernelTable.supported {
            var other = run
            other.kernels = table.name
            var expected = reference
            if format == .bfloat16 && table.roundsInputs {
                // This table has its own answer, close to the others', which one token at a time must also give.
                expected = try other.logits(tinyText(40).enumerated().map { [(0, $0, [$1])] }).flatMap { $0 }
                let spread = reference.reduce(0) { max($0, abs($1)) }
                let worst = zip(expected, reference).reduce(0) { max($0, abs($1.0 - $1.1)) }
                #expect(worst > 0 && worst < 0.05 * spread, "\(table.name): off by \(worst) of \(spread)")
            }
            for threads in [1, 3] {
                other.threads = threads
                let found = try other.logits(Self.whole).flatMap { $0 }
                #expect(difference(found, expected) == nil, "\(table.name), \(threads) threads")
            }
        }
    }

    /// Float activations with integer weights give the same answer at every degree, close to the quantized one.
    @Test func floatActivationsAgree() throws {
        var run = TinyRun(model: TinyModel.all[0], format: .int4, quantizesActivations: false)
        let expected = try run.logits(Self.whole).flatMap { $0 }
        run.plan = ParallelPlan(tensorDegree: 4, pipelineDegree: 1)
        let sharded = try run.logits(Self.whole).flatMap { $0 }
        #expect(difference(sharded, expected) == nil)
        run.quantizesActivations = true
        let quantized = try run.logits(Self.whole).flatMap { $0 }
        let spread = expected.reduce(0) { max($0, abs($1)) }
        let worst = zip(quantized, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
        #expect(worst > 0 && worst < 0.1 * spread, "off by \(worst) of \(spread)")
    }
}

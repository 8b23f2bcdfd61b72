import Engine
import Kernels
import TestSupport
import Testing
import Topology

/// Steps take exactly as much of the arena as the inventory of activations says.
///
/// If they took more, the arena would trap; if they took less, sizing would plan for memory that nothing uses.
@Suite struct ActivationInventoryTests {
    private static let plans = [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)].map {
        ParallelPlan(tensorDegree: $0.0, pipelineDegree: $0.1)
    }

    @Test(arguments: TinyModel.all, [TinyFormat.float32, .bfloat16, .int8, .int4])
    func stepsTakeWhatIsPlanned(model: TinyModel, format: TinyFormat) throws {
        for plan in Self.plans {
            for table in KernelTable.supported.map(\.name) {
                var run = TinyRun(model: model, format: format, plan: plan)
                run.kernels = table
                run.limits = StepLimits(tokenCount: 48, sequenceCount: 4, sequenceLength: 200)
                for (rank, bytes) in try run.arenaBytes([[(0, 0, tinyText(48))]]).enumerated() {
                    #expect(bytes.used == bytes.expected, "\(model) \(format) \(plan) \(table), rank \(rank)")
                }
            }
        }
    }
}

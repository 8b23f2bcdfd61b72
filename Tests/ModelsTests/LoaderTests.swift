import Architectures
import Collectives
import Kernels
import Models
import Testing
import Topology
import Weights

@Suite struct LoaderTests {
    /// A parameter of the inventory that no layer takes would be silently ignored.
    @Test func aParameterThatNobodyTakesIsAnError() throws {
        let model = try TinyModel.all[0].open()
        var decoder = model.decoder
        decoder.companions = [Companion(name: "adapter", parameterCount: 8)]
        #expect(throws: ModelError.notTaken(parameter: "companion(\"adapter\") other")) {
            let context = try ParallelContext(
                plan: ParallelPlan(tensorDegree: 1, pipelineDegree: 1), layerCount: decoder.layers.count,
                world: SoloCommunicator())
            let pool = WorkerPool(count: 1)
            defer { pool.stop() }
            _ = try DecoderLoader(
                configuration: decoder, source: model.weights, options: WeightOptions(), context: context, pool: pool
            ).load(cache: CacheOptions(blockCount: 1, type: .float32), progress: { _, _ in })
        }
    }
}

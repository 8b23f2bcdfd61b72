import AllocationCounter
import Collectives
import Engine
import Testing
import Topology

@Suite struct AllocationTests {
    /// After the first steps, a decode step's layers, cache and kernels allocate nothing on the heap.
    @Test(arguments: [TinyFormat.float32, .bfloat16, .int8, .int4Asymmetric]) func decodeStepsAllocateNothing(
        format: TinyFormat
    ) throws {
        let run = TinyRun(model: TinyModel.all[0], format: format, threads: 2)
        let runner = try run.makeRunner(SoloCommunicator())
        defer { runner.backend.pool.stop() }
        let message = StepMessage(limits: run.limits)
        let token: [Int32] = [5]
        func step(_ position: Int) throws -> Int64 {
            let before = allocation_count()
            message.begin(.step)
            for slot in 0..<2 {
                message.addChunk(
                    SequenceID(slot: slot), firstPosition: position, tokens: token[...], promptLength: 1, output: .last)
            }
            try message.broadcast(over: runner.decoder.context.world)
            try runner.take(message) { _, _ in }
            return allocation_count() - before
        }
        for position in 0..<3 { _ = try step(position) }
        // The positions pass a block's end (64), because a new cache block must not be an allocation either.
        for position in 3..<70 {
            let count = try step(position)
            #expect(count == 0, "position \(position)")
        }
        #expect(counts())
    }

    /// Whether the counter works; otherwise the test above could not fail.
    private func counts() -> Bool {
        let before = allocation_count()
        let array = [UInt8](repeating: 1, count: 10_000)
        return allocation_count() - before > 0 && array.count == 10_000
    }
}

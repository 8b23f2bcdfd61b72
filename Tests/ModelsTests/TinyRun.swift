import Architectures
import Collectives
import Engine
import Kernels
import Layers
import MemoryPlan
import Models
import Synchronization
import Tensors
import Topology
import Weights

/// Runs a tiny model with threads as ranks, through checked communicators.
struct TinyRun {
    var model: any RunModel
    var format = TinyFormat.float32
    /// The formats of weights, if `format` is not to give them.
    var options: WeightOptions?
    var plan = ParallelPlan(tensorDegree: 1, pipelineDegree: 1)
    var kernels: String?
    var threads = 1
    var cacheType = KeyValueType.float32
    var quantizesActivations = true
    /// The length that rotations which depend on it are told.
    var promptLength = 40

    var limits = StepLimits(tokenCount: 64, sequenceCount: 4, sequenceLength: 200)
    static let cacheBlockCount = 16

    /// A chunk of a step: sequence, first position, tokens.
    typealias Chunk = (sequence: Int, position: Int, tokens: [Int32])

    /// The logits after every token of every step, in order.
    func logits(_ steps: [[Chunk]]) throws -> [[Float]] {
        let rows = Mutex<[[Float]]>([])
        _ = try withRanks(plan.rankCount) { world in
            let world = CheckedCommunicator(world)
            let runner = try makeRunner(world)
            defer { runner.backend.pool.stop() }
            guard world.rank == 0 else { return try runner.follow() }
            let message = StepMessage(limits: limits)
            for step in steps {
                fill(message, with: step)
                try message.broadcast(over: world)
                try runner.take(message) { _, logits in rows.withLock { $0.append(Array(logits)) } }
            }
            message.begin(.stop)
            try message.broadcast(over: world)
        }
        return rows.withLock { $0 }
    }

    /// For each rank, the largest number of arena bytes that steps took, and the number in the inventory.
    func arenaBytes(_ steps: [[Chunk]]) throws -> [(used: Int, expected: Int)] {
        try withRanks(plan.rankCount) { world in
            let runner = try makeRunner(CheckedCommunicator(world))
            defer { runner.backend.pool.stop() }
            let message = StepMessage(limits: limits)
            for step in steps {
                fill(message, with: step)
                try runner.take(message) { _, _ in }
            }
            return (runner.backend.arena.highWaterMark, runner.backend.arena.capacity)
        }
    }

    /// Writes the chunks of one step, all of whose tokens give logits, into the message.
    private func fill(_ message: StepMessage, with step: [Chunk]) {
        message.begin(.step)
        for chunk in step {
            message.addChunk(
                SequenceID(slot: chunk.sequence), firstPosition: chunk.position, tokens: chunk.tokens[...],
                promptLength: promptLength, output: .all)
        }
    }

    func makeRunner(_ world: any Communicator) throws -> RankRunner {
        let (decoder, names, weights) = try model.open()
        try plan.validate(for: decoder, rankCount: world.size, names: names)
        let table = KernelTable.select(kernels) ?? KernelTable.supported[0]
        let pool = WorkerPool(count: threads)
        let context = try ParallelContext(plan: plan, layerCount: decoder.layers.count, world: world)
        let loader = DecoderLoader(
            configuration: decoder, source: weights, options: try self.options ?? format.options(), context: context,
            pool: pool)
        let formats = try loader.options.formats(of: decoder, from: weights, shardCount: plan.tensorDegree)
        let memory = RankFootprint(
            decoder, plan: plan, rank: world.rank, cacheType: cacheType, format: { formats[$0] ?? .float32 })
        let step = StepShape(
            tokenCount: limits.tokenCount, logitRows: StepLimits.logitRows, quantizesActivations: quantizesActivations,
            roundsInputs: table.roundsInputs)
        let loaded = try loader.load(
            cache: CacheOptions(blockCount: Self.cacheBlockCount, type: cacheType), progress: { _, _ in })
        // The allocated bytes must equal the inventory's sum exactly.
        guard loaded.weightByteCount == Int(memory.weights) else {
            throw Mismatch(found: loaded.weightByteCount, expected: Int(memory.weights))
        }
        return RankRunner(
            decoder: loaded,
            backend: CPUBackend(table: table, pool: pool, arena: try Arena(byteCount: memory.stepBytes(step).arena)),
            limits: limits, cacheBlockCount: Self.cacheBlockCount, quantizesActivations: quantizesActivations)
    }

    struct Mismatch: Error {
        let found: Int
        let expected: Int
    }
}

/// A text of `count` token ids below 64.
func tinyText(_ count: Int, seed: Int = 1) -> [Int32] {
    (0..<count).map { Int32(($0 * 37 + seed * 11 + $0 * $0 * 5) % 61) }
}

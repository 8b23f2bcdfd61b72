import Architectures
import Bootstrap
import Collectives
import Foundation
import ProgramEntry
import Topology

/// The predicted time of communication for each token of a model, for one division of the ranks into shards and stages.
///
/// It is the sum of operations that are measured on these ranks: two all-reduces for each layer, a hand-off between
/// neighbouring stages, the gather of the logits, and the broadcast of the step message.
struct Prediction: Encodable {
    let tensorDegree: Int
    let pipelineDegree: Int
    let allReduceMicroseconds: Double
    let handOffMicroseconds: Double
    let logitsMicroseconds: Double
    let stepMessageMicroseconds: Double
    let layers: Int

    /// The time of communication for one token of one sequence.
    let millisecondsPerToken: Double
    /// The most tokens per second that this time allows; nil if nothing is communicated.
    let tokensPerSecondBound: Double?

    enum CodingKeys: String, CodingKey {
        case tensorDegree = "tensor_parallel_size"
        case pipelineDegree = "pipeline_parallel_size"
        case allReduceMicroseconds = "all_reduce_us"
        case handOffMicroseconds = "hand_off_us"
        case logitsMicroseconds = "logits_us"
        case stepMessageMicroseconds = "step_message_us"
        case layers
        case millisecondsPerToken = "communication_ms_per_token"
        case tokensPerSecondBound = "decode_tokens_per_s_bound"
    }

    /// Gives a prediction for each division that the number of ranks allows; every rank must call it.
    static func all(for model: DecoderConfiguration, over world: any Communicator) throws -> [Prediction] {
        try (1...world.size).filter { world.size % $0 == 0 }.reversed().map { degree in
            try Prediction(model, over: world, tensorDegree: degree)
        }
    }

    private init(_ model: DecoderConfiguration, over world: any Communicator, tensorDegree: Int) throws {
        self.tensorDegree = tensorDegree
        pipelineDegree = world.size / tensorDegree
        layers = model.layers.count
        // Rank = stage · T + shard.
        let stage = world.rank / tensorDegree
        let tensor = try world.split(color: stage, key: world.rank)
        let pipeline = try world.split(color: world.rank % tensorDegree, key: stage)
        let hidden = UnsafeMutableBufferPointer<Float>.allocate(capacity: model.hiddenSize)
        defer { hidden.deallocate() }
        hidden.initialize(repeating: 0)
        // As in a row-parallel layer, the input lies where the other ranks read it, and has just been written.
        let sum = UnsafeMutableRawBufferPointer(hidden)
        var input = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        allReduceMicroseconds = try Self.mean(
            over: world, on: tensor,
            preparing: {
                guard tensor.size > 1 else { return }
                input = UnsafeMutableRawBufferPointer(
                    start: try tensor.place(ofByteCount: sum.count) ?? sum.baseAddress, count: sum.count)
                input.initializeMemory(as: UInt8.self, repeating: 0)
            }
        ) {
            guard tensor.size > 1 else { return }
            try tensor.allReduce(UnsafeRawBufferPointer(input), into: sum, .float32, .sum)
        }
        let tag = MessageTag(rawValue: 1)
        handOffMicroseconds = try Self.mean(over: world, on: pipeline) {
            guard pipeline.size > 1, pipeline.rank < 2 else { return }
            let bytes = UnsafeMutableRawBufferPointer(hidden)
            if pipeline.rank == 0 {
                try pipeline.send(UnsafeRawBufferPointer(bytes), to: 1, tag: tag)
            } else {
                try pipeline.receive(into: bytes, from: 0, tag: tag)
            }
        }
        // Only the ranks of the last stage have logits.
        let shares =
            [Int](repeating: 0, count: world.size - tensorDegree)
            + ShardGroup(count: tensorDegree).shares(of: model.vocabularySize).map {
                $0.count * ReducedType.float32.byteCount
            }
        let mine = [UInt8](repeating: 0, count: shares[world.rank])
        var logits = [UInt8](repeating: 0, count: world.rank == 0 ? shares.reduce(0, +) : 0)
        logitsMicroseconds = try Self.mean(over: world, on: world) {
            guard world.size > 1 else { return }
            try mine.withUnsafeBytes { mine in
                try logits.withUnsafeMutableBytes { try world.gather(mine, byteCounts: shares, into: $0, to: 0) }
            }
        }
        var message = [UInt8](repeating: 0, count: 256)
        stepMessageMicroseconds = try Self.mean(over: world, on: world) {
            guard world.size > 1 else { return }
            try message.withUnsafeMutableBytes { try world.broadcast($0, from: 0) }
        }
        millisecondsPerToken =
            (2 * Double(layers) * allReduceMicroseconds + Double(pipelineDegree - 1) * handOffMicroseconds
                + logitsMicroseconds + stepMessageMicroseconds) / 1000
        tokensPerSecondBound = millisecondsPerToken > 0 ? 1000 / millisecondsPerToken : nil
    }

    /// Gives the mean time that a call over `group` moves bytes, in microseconds, on the rank where it is longest.
    ///
    /// Between calls the link rests and memory is read for a millisecond. This imitates a model: while a layer is
    /// computed, the weights that are read evict everything else from the caches. The time that ranks wait for each
    /// other does not count.
    private static func mean(
        over world: any Communicator, on group: any Communicator, preparing prepare: () throws -> Void = {},
        _ call: () throws -> Void
    ) throws -> Double {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: weightPieces * weightPiece, alignment: 64)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: weightPieces * weightPiece)
        var piece = 0
        var times: [Double] = []
        for index in 0..<220 {
            try world.barrier()
            try prepare()
            let rest = OperationClock.now() + 1_000_000
            while OperationClock.now() < rest {
                piece = (piece + 1) % weightPieces
                _ = memchr(memory + piece * weightPiece, 1, weightPiece)  // reads all bytes, because none is 1
            }
            let before = group.times.transfer
            try call()
            if index >= 20 { times.append((group.times.transfer - before) / .nanoseconds(1000)) }
        }
        let mine = times.reduce(0, +) / Double(times.count)
        return try world.gatherAll([mine]).map { $0[0] }.max() ?? mine
    }

    private static let weightPiece = 256 << 10
    private static let weightPieces = 256
}

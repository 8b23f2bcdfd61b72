import Architectures
import Collectives
import Kernels
import Layers
import Tensors
import Topology

/// A rank's placement and the communicators of the groups that it belongs to.
public struct ParallelContext {
    public let placement: Placement
    /// The shards of the last stage, which hold the output head.
    public let headGroup: ShardGroup
    /// All ranks.
    public let world: any Communicator
    /// The ranks that share every layer of this stage.
    public let tensor: any Communicator
    /// The ranks that have this shard's number in every stage, in stage order.
    public let pipeline: any Communicator

    /// Splits the world into groups; every rank must call it.
    public init(plan: ParallelPlan, layerCount: Int, world: any Communicator) throws(CommunicationError) {
        placement = plan.placement(ofRank: world.rank, layerCount: layerCount)
        headGroup = plan.shardGroup(ofStage: plan.pipelineDegree - 1)
        self.world = world
        tensor = try world.split(color: placement.stage, key: placement.shard)
        pipeline = try world.split(color: placement.shard, key: placement.stage)
    }

    /// Sets how long operations of all groups wait for other ranks; nil: without limit.
    public func setTimeout(_ timeout: Duration?) {
        for group in [world, tensor, pipeline] { group.timeout = timeout }
    }

    /// Time spent in all groups so far.
    public var times: CommunicationTimes {
        world.times + tensor.times + pipeline.times
    }
}

/// This rank's part of a model: its share of its stage's layers, and of the embedding or the head at the ends.
public final class Decoder {
    public let configuration: DecoderConfiguration
    public let context: ParallelContext
    /// The distinct rotations of the layers.
    public let rotations: [RotaryTable]
    /// Bytes of packed weights, biases and norms on this rank.
    public let weightByteCount: Int
    let layers: [DecoderLayer]
    let entrance: Entrance?
    let finalNorm: Norm?
    let headProjection: ColumnParallelLinear?
    let head: ColumnParallelLinear?
    /// The range of the vocabulary that each shard of the last stage holds.
    public let vocabularyShares: [Range<Int>]

    private static let hiddenTag = MessageTag(rawValue: 1)

    init(
        configuration: DecoderConfiguration, context: ParallelContext, rotations: [RotaryTable], layers: [DecoderLayer],
        entrance: Entrance?, finalNorm: Norm?, headProjection: ColumnParallelLinear?, head: ColumnParallelLinear?,
        vocabularyShares: [Range<Int>], weightByteCount: Int
    ) {
        self.configuration = configuration
        self.context = context
        self.rotations = rotations
        self.layers = layers
        self.entrance = entrance
        self.finalNorm = finalNorm
        self.headProjection = headProjection
        self.head = head
        self.vocabularyShares = vocabularyShares
        self.weightByteCount = weightByteCount
    }

    /// Runs one step's tokens through this rank's layers; returns the residual stream on the last stage, else nil.
    ///
    /// - Throws: `CommunicationError`; on the first stage also `CheckpointError.changed` if the embedding's file was
    ///   written to.
    public func callAsFunction(_ tokens: UnsafeBufferPointer<Int32>, _ step: Step) throws -> Activations? {
        let backend = step.backend
        let hidden = backend.makeActivations(tokenCount: tokens.count, width: configuration.hiddenSize)
        let delta = backend.makeActivations(tokenCount: tokens.count, width: configuration.hiddenSize)
        if let entrance {
            try step.traced(TracedOperation("embedding", .embedding, rows: tokens.count, columns: hidden.width)) {
                try entrance(tokens, into: hidden, step)
            }
        } else {
            try step.traced(exchange("receive", hidden), with: context.pipeline) {
                try context.pipeline.receive(
                    into: UnsafeMutableRawBufferPointer(hidden.contiguous), from: context.placement.stage - 1,
                    tag: Self.hiddenTag)
            }
        }
        var isPending = false
        for layer in layers {
            try step.traced(TracedOperation("layer", nil, layer: layer.attention.layer)) {
                try layer(hidden, delta: delta, isPending: isPending, step)
            }
            isPending = layer.leavesAddition
        }
        // Layers leave their addition to the next norm. After the last layer of the stage it is still due.
        if isPending { backend.add(delta, to: hidden, scaledBy: configuration.residualScale) }
        guard context.placement.isLastStage else {
            try step.traced(exchange("send", hidden), with: context.pipeline) {
                try context.pipeline.send(
                    UnsafeRawBufferPointer(hidden.contiguous), to: context.placement.stage + 1, tag: Self.hiddenTag)
            }
            return nil
        }
        return hidden
    }

    /// Describes an exchange of hidden states between stages for traces.
    private func exchange(_ name: StaticString, _ hidden: Activations) -> TracedOperation {
        TracedOperation(
            name, .exchange, rows: hidden.tokenCount, columns: hidden.width,
            byteCount: UnsafeRawBufferPointer(hidden.contiguous).count)
    }

    /// This shard's logits `[rows, vocabulary share]` for some rows of the stream; nil unless on the last stage.
    public func logits(of hidden: Activations, rows: ArraySlice<Int32>, _ step: Step) -> Activations? {
        guard let finalNorm, let head else { return nil }
        let chosen = step.backend.makeActivations(tokenCount: rows.count, width: hidden.width)
        for (index, row) in rows.enumerated() {
            (chosen.elements + index * hidden.width).update(
                from: hidden.elements + Int(row) * hidden.stride, count: hidden.width)
        }
        let normalized = finalNorm(chosen, adding: nil, scaledBy: 1, step)
        let logits = head(headProjection.map { $0(normalized, step) } ?? normalized, step)
        if let cap = configuration.head.cap { step.backend.softcap(logits, cap: cap) }
        return logits
    }
}

import Architectures
import Collectives
import Kernels
import Layers
import Tensors
import Topology

/// The groups a rank belongs to, by the part they play.
public struct ParallelContext {
    public let placement: Placement
    /// The shards of the last stage, which have the output head.
    public let headGroup: ShardGroup
    /// All ranks.
    public let world: any Communicator
    /// The ranks that share every layer of this stage.
    public let tensor: any Communicator
    /// This shard's rank in every stage, in order of stages.
    public let pipeline: any Communicator

    /// Splits the world; every rank must call it.
    public init(plan: ParallelPlan, layerCount: Int, world: any Communicator) throws(CommunicationError) {
        placement = plan.placement(ofRank: world.rank, layerCount: layerCount)
        headGroup = plan.shardGroup(ofStage: plan.pipelineDegree - 1)
        self.world = world
        tensor = try world.split(color: placement.stage, key: placement.shard)
        pipeline = try world.split(color: placement.shard, key: placement.stage)
    }

    /// How long operations of all groups wait for other ranks; nil: for ever.
    public func setTimeout(_ timeout: Duration?) {
        for group in [world, tensor, pipeline] { group.timeout = timeout }
    }

    /// Time spent in all groups so far.
    public var times: CommunicationTimes {
        world.times + tensor.times + pipeline.times
    }
}

/// This rank's part of a model: some layers, of each a share, and what its stage needs at the ends.
public final class Decoder {
    public let configuration: DecoderConfiguration
    public let context: ParallelContext
    public let rotary: RotaryTable
    /// Bytes of packed weights, biases and norms on this rank.
    public let weightByteCount: Int
    let layers: [DecoderLayer]
    let embedding: (any EmbeddingTable)?
    let finalNorm: RMSNorm?
    let head: ColumnParallelLinear?
    /// What each shard of the last stage has of the vocabulary.
    public let vocabularyShares: [Range<Int>]

    private static let hiddenTag = MessageTag(rawValue: 1)

    init(
        configuration: DecoderConfiguration, context: ParallelContext, rotary: RotaryTable, layers: [DecoderLayer],
        embedding: (any EmbeddingTable)?, finalNorm: RMSNorm?, head: ColumnParallelLinear?,
        vocabularyShares: [Range<Int>],
        weightByteCount: Int
    ) {
        self.configuration = configuration
        self.context = context
        self.rotary = rotary
        self.layers = layers
        self.embedding = embedding
        self.finalNorm = finalNorm
        self.head = head
        self.vocabularyShares = vocabularyShares
        self.weightByteCount = weightByteCount
    }

    /// Takes one step's tokens through this rank's layers; gives the residual stream on the last stage, nil on others.
    ///
    /// - Throws: `CommunicationError`; on the first stage `CheckpointError.changed` if the embedding's file was written to.
    public func callAsFunction(_ tokens: UnsafeBufferPointer<Int32>, _ step: Step) throws -> Activations? {
        let backend = step.backend
        let hidden = backend.makeActivations(tokenCount: tokens.count, width: configuration.hiddenSize)
        let delta = backend.makeActivations(tokenCount: tokens.count, width: configuration.hiddenSize)
        if let embedding {
            // Of a file that was cut short not even a byte can be read.
            try embedding.checkUnchanged()
            for (row, token) in tokens.enumerated() {
                embedding.read(token: Int(token), into: hidden.elements + row * hidden.stride)
            }
            // Before a token is drawn from rows that were written to.
            try embedding.checkUnchanged()
        } else {
            try context.pipeline.receive(
                into: UnsafeMutableRawBufferPointer(hidden.contiguous), from: context.placement.stage - 1,
                tag: Self.hiddenTag)
        }
        for (index, layer) in layers.enumerated() {
            try layer(hidden, delta: delta, isFirst: index == 0, step)
        }
        backend.add(delta, to: hidden)
        guard context.placement.isLastStage else {
            try context.pipeline.send(
                UnsafeRawBufferPointer(hidden.contiguous), to: context.placement.stage + 1, tag: Self.hiddenTag)
            return nil
        }
        return hidden
    }

    /// This shard's logits of some rows of the residual stream, on the last stage: `[rows, vocabulary share]`.
    public func logits(of hidden: Activations, rows: ArraySlice<Int32>, _ step: Step) -> Activations? {
        guard let finalNorm, let head else { return nil }
        let chosen = step.backend.makeActivations(tokenCount: rows.count, width: hidden.width)
        for (index, row) in rows.enumerated() {
            (chosen.elements + index * hidden.width).update(
                from: hidden.elements + Int(row) * hidden.stride, count: hidden.width)
        }
        return head(finalNorm(chosen, adding: nil, step), step)
    }
}

import Architectures
import Checkpoints
import Collectives
import Kernels
import Layers
import Tensors
import Topology
import Weights

/// The size and type of the key-value cache of every layer.
public struct CacheOptions: Equatable, Sendable {
    /// Blocks of 64 positions, shared by all sequences.
    public var blockCount: Int
    public var type: KeyValueType

    public init(blockCount: Int, type: KeyValueType) {
        self.blockCount = blockCount
        self.type = type
    }
}

/// Builds this rank's part of a model: for each parameter of its layers, its share of the stored tensor, packed.
public struct DecoderLoader {
    let configuration: DecoderConfiguration
    let source: any WeightSource
    public let options: WeightOptions
    let context: ParallelContext
    private let packer: MatrixPacker
    private let parameters: [ParameterName: [Parameter]]

    public init(
        configuration: DecoderConfiguration, source: any WeightSource, options: WeightOptions, context: ParallelContext,
        pool: WorkerPool
    ) {
        self.configuration = configuration
        self.source = source
        self.options = options
        self.context = context
        packer = MatrixPacker(pool: pool)
        parameters = Dictionary(grouping: configuration.parameters(), by: \.name)
    }

    /// Loads everything.
    ///
    /// - Parameters:
    ///   - progress: told how many of this rank's layers are done.
    ///   - isCancelled: asked between layers; `CancellationError` is thrown when it says so.
    public func load(
        cache: CacheOptions, maximumLength: Int, progress: (_ done: Int, _ total: Int) -> Void,
        isCancelled: () -> Bool = { false }
    ) throws -> Decoder {
        let placement = context.placement
        let total = placement.layers.count + (placement.isLastStage ? 1 : 0)
        var bytes = 0
        var layers: [DecoderLayer] = []
        progress(0, total)
        for layer in placement.layers {
            if isCancelled() { throw CancellationError() }
            layers.append(try loadLayer(layer, cache: cache, bytes: &bytes))
            progress(layers.count, total)
        }
        var finalNorm: RMSNorm?
        var head: ColumnParallelLinear?
        let shares = context.headGroup.shares(of: configuration.vocabularySize)
        if placement.isLastStage {
            finalNorm = try norm(.finalNorm, bytes: &bytes)
            head = ColumnParallelLinear(weight: try loadHead(rows: shares[placement.shard], bytes: &bytes))
            progress(total, total)
        }
        let table = try parameters[.embedding]?.first.map { try source.matrix($0) }
        // What was written to meanwhile is half of one file and half of another.
        try source.checkUnchanged()
        return Decoder(
            configuration: configuration, context: context,
            rotary: RotaryTable(
                configuration.rotary, headDimension: configuration.layers[0].attention.headDimension,
                maximumLength: maximumLength),
            layers: layers, embedding: placement.isFirstStage ? table.map { StoredEmbedding(matrix: $0) } : nil,
            finalNorm: finalNorm, head: head, vocabularyShares: shares, weightByteCount: bytes)
    }

    private func loadLayer(_ layer: Int, cache: CacheOptions, bytes: inout Int) throws -> DecoderLayer {
        guard let (attention, _) = configuration.layers[layer].dense else {
            throw ModelError.notComputed(layer: layer)
        }
        let placement = context.placement
        let heads = configuration.layers[layer].attention.placement(in: placement.group, shard: placement.shard)
        let cacheStorage = try CacheStorage(
            blockCount: cache.blockCount, headCount: heads.keyValueHeads.count, headDimension: attention.headDimension,
            type: cache.type)
        cacheStorage.touch()
        return DecoderLayer(
            attentionNorm: try norm(.attentionNorm(layer: layer), bytes: &bytes),
            attention: GroupedAttention(
                configuration: attention, heads: heads,
                input: try column([.query(layer: layer), .key(layer: layer), .value(layer: layer)], bytes: &bytes),
                output: try row(.attentionOutput(layer: layer), bytes: &bytes),
                cache: cacheStorage, layer: layer),
            feedForwardNorm: try norm(.feedForwardNorm(layer: layer), bytes: &bytes),
            feedForward: GatedFeedForwardLayer(
                gateAndUp: try column([.gate(layer: layer), .up(layer: layer)], bytes: &bytes),
                down: try row(.down(layer: layer), bytes: &bytes), layer: layer)
        )
    }

    /// This rank's rows of several matrices that read the same input, stacked.
    private func column(_ names: [ParameterName], bytes: inout Int) throws -> ColumnParallelLinear {
        let layout = ContractionLayout(length: configuration.hiddenSize)
        var pieces: [MatrixPiece] = []
        var biases: [Float] = []
        for name in names {
            guard let parameter = parameter(name, .matrix) else { continue }
            let rows = configuration.share(of: parameter, at: context.placement).rows
            let prepared = try options.prepare(source.matrix(parameter), as: name, layout: layout)
            pieces.append(
                MatrixPiece(source: prepared.source, rows: rows, format: prepared.format, block: prepared.block))
            if let bias = self.parameter(name, .bias) { biases += try source.vector(bias)[rows] }
        }
        let weight = try packer.pack(pieces, columns: 0..<configuration.hiddenSize, layout: layout, group: nil)
        bytes += weight.byteCount + biases.count * MemoryLayout<Float>.size
        return ColumnParallelLinear(weight: weight, bias: biases.isEmpty ? nil : Vector(biases))
    }

    private func row(_ name: ParameterName, bytes: inout Int) throws -> RowParallelLinear {
        guard let parameter = parameter(name, .matrix) else { preconditionFailure("no parameter \(name)") }
        let group = context.placement.group
        let layout = configuration.contraction(of: parameter, shardCount: group.count)
        let columns = configuration.share(of: parameter, at: context.placement).columns
        let prepared = try options.prepare(source.matrix(parameter), as: name, layout: layout)
        let piece = MatrixPiece(
            source: prepared.source, rows: 0..<parameter.shape[0], format: prepared.format, block: prepared.block)
        let weight = try packer.pack([piece], columns: columns, layout: layout, group: group)
        let bias = try self.parameter(name, .bias).map { Vector(try source.vector($0)) }
        bytes += weight.byteCount + (bias?.byteCount ?? 0)
        return RowParallelLinear(weight: weight, bias: bias, group: context.tensor)
    }

    private func loadHead(rows: Range<Int>, bytes: inout Int) throws -> WeightMatrix {
        let stored = configuration.tiesEmbeddings ? parameter(.embedding, .table) : parameter(.head, .matrix)
        guard let stored else { preconditionFailure("a model has a head") }
        let layout = ContractionLayout(length: configuration.hiddenSize)
        let prepared = try options.prepare(source.matrix(stored), as: .head, layout: layout)
        let piece = MatrixPiece(source: prepared.source, rows: rows, format: prepared.format, block: prepared.block)
        let weight = try packer.pack([piece], columns: 0..<configuration.hiddenSize, layout: layout, group: nil)
        bytes += weight.byteCount
        return weight
    }

    private func norm(_ name: ParameterName, bytes: inout Int) throws -> RMSNorm {
        guard let parameter = parameter(name, .norm) else { preconditionFailure("no parameter \(name)") }
        let weight = Vector(try source.vector(parameter))
        bytes += weight.byteCount
        return RMSNorm(weight: weight, epsilon: configuration.normEpsilon)
    }

    private func parameter(_ name: ParameterName, _ role: Parameter.Role) -> Parameter? {
        parameters[name]?.first { $0.role == role }
    }
}

/// An embedding whose rows are read from the checkpoint's mapping.
private final class StoredEmbedding: EmbeddingTable, @unchecked Sendable {
    // Sendable: only the rank's thread reads; the counter is its own.
    private let matrix: any MatrixSource
    private var readsSinceRelease = 0
    /// Reading a row maps its neighbours too, up to 64 KiB, so pages are given back before they add up.
    private static let readsBetweenReleases = 256

    init(matrix: any MatrixSource) {
        self.matrix = matrix
    }

    func checkUnchanged() throws {
        try matrix.checkUnchanged()
    }

    func read(token: Int, into output: UnsafeMutablePointer<Float>) {
        matrix.readFloats(rows: token..<token + 1, columns: 0..<matrix.columns, into: output)
        readsSinceRelease += 1
        if readsSinceRelease == Self.readsBetweenReleases {
            matrix.release(rows: 0..<matrix.rows)
            readsSinceRelease = 0
        }
    }
}

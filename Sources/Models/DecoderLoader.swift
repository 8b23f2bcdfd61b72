import Architectures
import Checkpoints
import Collectives
import Glibc
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

    public init(
        configuration: DecoderConfiguration, source: any WeightSource, options: WeightOptions, context: ParallelContext,
        pool: WorkerPool
    ) {
        self.configuration = configuration
        self.source = source
        self.options = options
        self.context = context
        packer = MatrixPacker(pool: pool)
    }

    /// Loads everything.
    ///
    /// - Parameters:
    ///   - progress: called with the number of this rank's layers that are loaded.
    ///   - isCancelled: called between layers; loading throws `CancellationError` if it returns true.
    /// - Throws: among others `ModelError.notTaken` if a parameter of the stage is left over, because the model would
    ///   silently ignore it.
    public func load(
        cache: CacheOptions, progress: (_ done: Int, _ total: Int) -> Void,
        isCancelled: () -> Bool = { false }
    ) throws -> Decoder {
        let placement = context.placement
        let total = placement.layers.count + (placement.isLastStage ? 1 : 0)
        let rest = Inventory(configuration.parameters(ofStageAt: placement))
        // Those of the whole model, so that all ranks agree on the index of each rotation.
        let rotations = configuration.rotations
        var layers: [DecoderLayer] = []
        progress(0, total)
        for layer in placement.layers {
            if isCancelled() { throw CancellationError() }
            layers.append(try loadLayer(layer, from: rest, rotations: rotations, cache: cache))
            progress(layers.count, total)
        }
        var finalNorm: Norm?
        var head: ColumnParallelLinear?
        let shares = context.headGroup.shares(of: configuration.vocabularySize)
        if placement.isLastStage {
            finalNorm = try norm(.finalNorm, scaledBy: configuration.head.scale, from: rest)
            head = try loadHead(rows: shares[placement.shard], from: rest)
            progress(total, total)
        }
        let headProjection = try projection(.headProjection, "head projection", from: rest)
        let embedding = try table(.embedding, from: rest)
        let entrance =
            try !placement.isFirstStage
            ? nil
            : embedding.map { table in
                Entrance(
                    table: table, projection: try projection(.embeddingProjection, "embedding projection", from: rest),
                    norm: try norm(.embeddingNorm, from: rest), positions: try self.table(.positions, from: rest),
                    configuration: configuration.embedding)
            }
        if let parameter = rest.first { throw ModelError.notTaken(parameter: "\(parameter.name) \(parameter.role)") }
        // A file that was written to meanwhile was read partly before and partly after the change.
        try source.checkUnchanged()
        return Decoder(
            configuration: configuration, context: context,
            rotations: rotations.map { RotaryTable($0) }, layers: layers,
            entrance: entrance, finalNorm: finalNorm, headProjection: headProjection, head: head,
            vocabularyShares: shares, weightByteCount: rest.byteCount)
    }

    private func loadLayer(
        _ layer: Int, from rest: Inventory, rotations: [Rotation?], cache: CacheOptions
    ) throws -> DecoderLayer {
        let layout = configuration.layers[layer]
        guard case .groupedQuery(let attention) = layout.attention, case .dense(let feedForward) = layout.feedForward
        else { preconditionFailure("layer \(layer) is not computed: see uncomputedFeatures") }
        let placement = context.placement
        let heads = layout.attention.placement(in: placement.group, shard: placement.shard)
        let cacheStorage = try CacheStorage(
            blockCount: cache.blockCount, headCount: heads.keyValueHeads.count, headDimension: attention.headDimension,
            type: cache.type)
        cacheStorage.touch()
        func norm(_ part: LayerPart) throws -> Norm? { try self.norm(.layer(layer, part), from: rest) }
        func column(_ label: StaticString, _ parts: [LayerPart]) throws -> ColumnParallelLinear {
            try self.column(parts.map { .layer(layer, $0) }, OperationLabel(label, layer: layer), from: rest)
        }
        func row(_ label: StaticString, _ part: LayerPart) throws -> RowParallelLinear {
            try self.row(.layer(layer, part), OperationLabel(label, layer: layer), from: rest)
        }
        return DecoderLayer(
            order: layout.order,
            attentionNorm: try norm(.attentionNorm),
            attention: GroupedAttention(
                configuration: attention, heads: heads,
                input: try attention.valuesAreKeys
                    ? column("query, key", [.query, .key]) : column("query, key, value", [.query, .key, .value]),
                output: try row("attention output", .attentionOutput), cache: cacheStorage,
                queryNorm: try norm(.queryNorm), keyNorm: try norm(.keyNorm),
                rotation: rotations.firstIndex(of: attention.rotation) ?? 0,
                sinks: try vector(.layer(layer, .sinks), .perHead, from: rest), group: context.tensor, layer: layer),
            afterAttentionNorm: try norm(.afterAttentionNorm),
            feedForwardNorm: try norm(.feedForwardNorm),
            feedForward: FeedForwardLayer(
                wide: try feedForward.isGated ? column("gate, up", [.gate, .up]) : column("up", [.up]),
                activation: feedForward.activation, isGated: feedForward.isGated,
                coefficients: try coefficients(ofLayer: layer, from: rest), down: try row("down", .down)),
            afterFeedForwardNorm: try norm(.afterFeedForwardNorm),
            residualScale: configuration.residualScale, streamScale: try scalar(layer, .streamScale, from: rest))
    }

    /// A number of a layer; nil if it has none.
    private func scalar(_ layer: Int, _ part: LayerPart, from rest: Inventory) throws -> Float? {
        guard let parameter = rest.take(.layer(layer, part), .scalar) else { return nil }
        let values = try source.vector(parameter)
        _ = rest.count(Vector(values))
        return values[0]
    }

    /// The coefficients of xIELU, which are stored so that any number gives a positive one: p = softplus(a) and
    /// n = softplus(b) + 1/2; zeros for other activations.
    private func coefficients(ofLayer layer: Int, from rest: Inventory) throws -> (Float, Float) {
        func softplus(_ part: LayerPart) throws -> Float? {
            try scalar(layer, part, from: rest).map { $0 > 20 ? $0 : log1pf(expf($0)) }
        }
        guard let positive = try softplus(.activationPositive), let negative = try softplus(.activationNegative) else {
            return (0, 0)
        }
        return (positive, negative + 0.5)
    }

    /// Stacks this rank's rows of several matrices that read the same input.
    private func column(
        _ names: [ParameterName], _ label: OperationLabel, from rest: Inventory
    ) throws -> ColumnParallelLinear {
        let layout = ContractionLayout(length: configuration.hiddenSize)
        var pieces: [MatrixPiece] = []
        var biases: [Float] = []
        for name in names {
            guard let parameter = rest.take(name, .matrix) else { preconditionFailure("no parameter \(name)") }
            let rows = configuration.share(of: parameter, at: context.placement).rows
            pieces.append(try piece(source.matrix(parameter), as: name, rows: rows, layout: layout))
            if let bias = rest.take(name, .bias) { biases += try source.vector(bias)[rows] }
        }
        let weight = try packer.pack(pieces, columns: 0..<configuration.hiddenSize, layout: layout, group: nil)
        precondition(biases.isEmpty || biases.count == weight.rows, "all of the matrices have a bias, or none")
        rest.count(weight)
        return ColumnParallelLinear(
            weight: weight, bias: biases.isEmpty ? nil : rest.count(Vector(biases)), label: label)
    }

    private func row(_ name: ParameterName, _ label: OperationLabel, from rest: Inventory) throws -> RowParallelLinear {
        guard let parameter = rest.take(name, .matrix) else { preconditionFailure("no parameter \(name)") }
        let group = context.placement.group
        let layout = configuration.contraction(of: parameter, shardCount: group.count)
        let columns = configuration.share(of: parameter, at: context.placement).columns
        let piece = try piece(source.matrix(parameter), as: name, rows: 0..<parameter.shape[0], layout: layout)
        let weight = try packer.pack([piece], columns: columns, layout: layout, group: group)
        rest.count(weight)
        return RowParallelLinear(
            weight: weight, bias: try vector(name, .bias, from: rest), group: context.tensor, label: label)
    }

    private func loadHead(rows: Range<Int>, from rest: Inventory) throws -> ColumnParallelLinear {
        let stored = rest.take(
            configuration.tiesEmbeddings ? .embedding : .head, configuration.tiesEmbeddings ? .table : .matrix)
        guard let stored else { preconditionFailure("a model has a head") }
        let matrix = try source.matrix(stored)
        return try whole(
            configuration.head.normalizesRows ? try NormalizedRows(matrix) : matrix, as: .head, rows: rows,
            OperationLabel("head"), from: rest)
    }

    /// Packs rows of a matrix outside the layers, all of whose columns this rank holds.
    private func whole(
        _ matrix: any MatrixSource, as name: ParameterName, rows: Range<Int>, _ label: OperationLabel,
        from rest: Inventory
    ) throws -> ColumnParallelLinear {
        let layout = ContractionLayout(length: matrix.columns)
        let piece = try piece(matrix, as: name, rows: rows, layout: layout)
        let weight = try packer.pack([piece], columns: 0..<matrix.columns, layout: layout, group: nil)
        rest.count(weight)
        return ColumnParallelLinear(weight: weight, bias: try vector(name, .bias, from: rest), label: label)
    }

    /// A projection between the hidden size and the width of embedding rows; nil if the stage has none.
    private func projection(
        _ name: ParameterName, _ label: StaticString, from rest: Inventory
    ) throws -> ColumnParallelLinear? {
        guard let parameter = rest.take(name, .matrix) else { return nil }
        return try whole(
            source.matrix(parameter), as: name, rows: 0..<parameter.shape[0], OperationLabel(label), from: rest)
    }

    private func piece(
        _ source: any MatrixSource, as name: ParameterName, rows: Range<Int>, layout: ContractionLayout
    ) throws -> MatrixPiece {
        let prepared = try options.prepare(source, as: name, layout: layout)
        return MatrixPiece(source: prepared.source, rows: rows, format: prepared.format)
    }

    /// - Parameter scale: a factor on the norm's output, which is folded into its weight and bias.
    private func norm(_ name: ParameterName, scaledBy scale: Float = 1, from rest: Inventory) throws -> Norm? {
        guard let arithmetic = configuration.norm(name) else { return nil }
        guard let weight = try vector(name, .norm, scaledBy: scale, from: rest) else { return nil }
        return Norm(arithmetic, weight: weight, bias: try vector(name, .bias, scaledBy: scale, from: rest))
    }

    /// This rank's part of a vector; nil if the stage has no such parameter.
    private func vector(
        _ name: ParameterName, _ role: Parameter.Role, scaledBy scale: Float = 1, from rest: Inventory
    ) throws -> Vector? {
        guard let parameter = rest.take(name, role) else { return nil }
        let rows = configuration.share(of: parameter, at: context.placement).rows
        let values = try source.vector(parameter)[rows]
        return rest.count(Vector(scale == 1 ? Array(values) : values.map { $0 * scale }))
    }

    private func table(_ name: ParameterName, from rest: Inventory) throws -> StoredTable? {
        try rest.take(name, .table).map { StoredTable(try source.matrix($0)) }
    }
}

/// The parameters of a stage that no layer has taken yet, and the number of bytes that were loaded.
private final class Inventory {
    private var parameters: [Parameter]
    private(set) var byteCount = 0
    /// A tied embedding is taken twice: as a table and as the head.
    private var tables: [Parameter] = []

    init(_ parameters: [Parameter]) {
        self.parameters = parameters
    }

    /// The first parameter that is left.
    var first: Parameter? { parameters.first }

    /// Takes a parameter out; nil if the model has none of that name.
    func take(_ name: ParameterName, _ role: Parameter.Role) -> Parameter? {
        guard let index = parameters.firstIndex(where: { $0.name == name && $0.role == role }) else {
            return tables.first { $0.name == name && $0.role == role }
        }
        let parameter = parameters.remove(at: index)
        if role == .table { tables.append(parameter) }
        return parameter
    }

    func count(_ weight: WeightMatrix) {
        byteCount += weight.byteCount
    }

    func count(_ vector: Vector) -> Vector {
        byteCount += vector.byteCount
        return vector
    }
}

/// A table whose rows are read from the mapped checkpoint on demand.
final class StoredTable: @unchecked Sendable {
    // Sendable: only the rank's own thread reads the table and uses the counter.
    private let matrix: any MatrixSource
    private var readsSinceRelease = 0
    /// How many rows are read before the mapped pages are released.
    ///
    /// Reading a row also maps its neighbours, up to 64 KiB, and these pages would add up.
    private static let readsBetweenReleases = 256

    init(_ matrix: any MatrixSource) {
        self.matrix = matrix
    }

    /// The number of elements of a row.
    var width: Int { matrix.columns }

    func checkUnchanged() throws {
        try matrix.checkUnchanged()
    }

    func read(row: Int, into output: UnsafeMutablePointer<Float>) {
        matrix.readFloats(rows: row..<row + 1, columns: 0..<matrix.columns, into: output)
        readsSinceRelease += 1
        if readsSinceRelease == Self.readsBetweenReleases {
            matrix.release(rows: 0..<matrix.rows)
            readsSinceRelease = 0
        }
    }
}

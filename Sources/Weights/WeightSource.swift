import Architectures
import Checkpoints
import Messages

/// A source of a model's weights: a checkpoint, or numbers generated for a measurement.
public protocol WeightSource: Sendable {
    /// A linear layer's matrix, or the embedding, `[rows, columns]`.
    func matrix(_ parameter: Parameter) throws -> any MatrixSource
    /// A vector parameter, such as a bias or a norm's weight.
    func vector(_ parameter: Parameter) throws -> [Float]
    /// A digest of the names, types and shapes of the weights and of the files that hold them.
    var layoutDigest: UInt64 { get }
    /// A digest of a sample of every tensor's values.
    func contentDigest() throws -> UInt64
    /// Checks that no file was written to since it was opened; this is cheap, because it reads no data.
    func checkUnchanged() throws
}

/// The weights of a checkpoint, checked against the configuration.
public struct CheckpointWeights: WeightSource {
    /// The configuration, corrected by the weights.
    ///
    /// If the files have a head of their own, it is used even if the configuration says that the head is the embedding.
    public let decoder: DecoderConfiguration
    /// Warnings about the files for the user, one line each.
    public let warnings: [String]
    private let checkpoint: Checkpoint
    private let quantization: QuantizationConfiguration?
    private let names: TensorNames

    /// Checks that the checkpoint holds every parameter, and no other tensor that should affect the output.
    ///
    /// - Throws: `CheckpointError.missingTensor`, `ModelError.unusedTensor`.
    public init(
        _ checkpoint: Checkpoint, quantization: QuantizationConfiguration?, names: TensorNames,
        decoder: DecoderConfiguration
    ) throws {
        self.checkpoint = checkpoint
        self.quantization = quantization
        let names = names.located { checkpoint.tensor(named: $0) != nil }
        self.names = names
        var decoder = decoder
        var warnings = checkpoint.warnings
        if decoder.tiesEmbeddings, Self.hasOwnHead(checkpoint, names) {
            decoder.tiesEmbeddings = false
            warnings.append(
                "config.json says that the output head is the embedding (tie_word_embeddings), but the weights have a "
                    + "\(names.module(.head)).weight of their own, which is used")
        }
        self.decoder = decoder
        let inventory = Inventory(checkpoint, names: names, decoder: decoder)
        if let warning = try inventory.unusedWarning() { warnings.append(warning) }
        if let missing = inventory.missing {
            throw CheckpointError.missingTensor(name: missing, directory: checkpoint.directory)
        }
        self.warnings = warnings
    }

    public var layoutDigest: UInt64 { checkpoint.layoutDigest }

    public func contentDigest() throws -> UInt64 { try checkpoint.contentDigest() }

    public func checkUnchanged() throws { try checkpoint.checkUnchanged() }

    public func matrix(_ parameter: Parameter) throws -> any MatrixSource {
        let source = try source(of: parameter)
        let matrix = try checkpoint.matrix(named: source.module, quantization: quantization)
        let columns = parameter.shape[1]
        try check(
            [matrix.rows, matrix.columns],
            source.isTransposed ? [columns, source.storedRows] : [source.storedRows, columns], tensor: source.tensor)
        guard source.isTransposed || !source.rows.isIdentity || source.storedRows != parameter.shape[0] else {
            return matrix
        }
        if source.isTransposed, case .integer = matrix.encoding {
            throw ModelError.transposedIntegers(tensor: source.tensor)
        }
        return MatrixView(
            base: matrix, rowMap: source.rows, rows: parameter.shape[0], isTransposed: source.isTransposed)
    }

    public func vector(_ parameter: Parameter) throws -> [Float] {
        let sources = names.sources(of: parameter, in: decoder)
        return try sources.flatMap { source in
            let vector = try checkpoint.vector(named: source.tensor)
            try check([vector.count], [source.storedRows], tensor: source.tensor)
            return (0..<parameter.count / sources.count).map { vector[source.rows.stored($0)] + source.offset }
        }
    }

    private func source(of parameter: Parameter) throws -> ParameterSource {
        let sources = names.sources(of: parameter, in: decoder)
        precondition(sources.count == 1, "experts are not loaded: see uncomputedFeatures")
        return sources[0]
    }

    private func check(_ shape: [Int], _ expected: [Int], tensor name: String) throws {
        guard shape != expected else { return }
        throw ModelError.wrongShape(
            tensor: name, path: checkpoint.tensor(named: name)?.path ?? checkpoint.directory, found: shape,
            expected: expected)
    }

    /// Whether the files have a head that differs from the embedding.
    private static func hasOwnHead(_ checkpoint: Checkpoint, _ names: TensorNames) -> Bool {
        let head = names.module(.head)
        if checkpoint.tensor(named: "\(head).weight_packed") != nil { return true }
        guard let stored = checkpoint.tensor(named: "\(head).weight") else { return false }
        return checkpoint.tensor(named: "\(names.module(.embedding)).weight").map { !stored.isEqual(to: $0) } ?? true
    }
}

/// A comparison of the tensors of a checkpoint with the parameters of a model.
private struct Inventory {
    private let checkpoint: Checkpoint
    private let names: TensorNames
    private let layerCount: Int
    /// The tensors that the model uses.
    private var used: Set<String> = []
    /// The first tensor that the model needs but no file has.
    private(set) var missing: String?
    /// The modules outside the layers.
    private let outerModules: Set<String>

    /// The suffixes of the tensors that make up a packed matrix.
    private static let packedParts = [
        "weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx",
    ]

    init(_ checkpoint: Checkpoint, names: TensorNames, decoder: DecoderConfiguration) {
        self.checkpoint = checkpoint
        self.names = names
        layerCount = decoder.layers.count
        outerModules = Set(names.outerModules)
        for source in decoder.parameters().flatMap({ names.sources(of: $0, in: decoder) }) {
            if source.suffix == ".weight", checkpoint.tensor(named: "\(source.module).weight_packed") != nil {
                used.formUnion(Self.packedParts.map { "\(source.module).\($0)" })
            } else {
                used.insert(source.tensor)
                if missing == nil, checkpoint.tensor(named: source.tensor) == nil { missing = source.tensor }
            }
        }
        // A stored head of a model that ties is a copy of the embedding; otherwise it would be a parameter.
        if decoder.tiesEmbeddings { used.insert("\(names.module(.head)).weight") }
    }

    /// A one-line warning that names the unused tensors; nil if none deserves a warning.
    ///
    /// - Throws: `unusedTensor` for a tensor of a part that is computed, because it should affect the output.
    func unusedWarning() throws -> String? {
        var unused: [String] = []
        var reasons: [String] = []
        for name in checkpoint.tensorNames where !used.contains(name) {
            let kind = names.unusedKind(of: name, layerCount: layerCount)
            if let kind {
                if kind.isUsual { continue }
                if !reasons.contains(kind.reason) { reasons.append(kind.reason) }
            } else if belongsToComputed(name) {
                throw ModelError.unusedTensor(
                    name: name, path: checkpoint.tensor(named: name)?.path ?? checkpoint.directory)
            }
            unused.append(name)
        }
        guard !unused.isEmpty else { return nil }
        let why = reasons.isEmpty ? "" : " (\(reasons.joined(separator: "; ")))"
        return "\(unused.count) tensors of the checkpoint are not used: \(listed(names: unused))\(why)"
    }

    private func belongsToComputed(_ tensor: String) -> Bool {
        if let layer = names.layer(of: tensor) { return layer < layerCount }
        return outerModules.contains { tensor.hasPrefix("\($0).") }
    }
}

import Architectures
import ArgumentParser
import Checkpoints
import Messages
import ModelOptions
import ProgramEntry
import Sizing
import Synchronization
import Tensors
import Weights

/// A model to plan for: its shape, and how its weights may be stored.
struct PlannedModel {
    let decoder: DecoderConfiguration
    private let names: TensorNames
    /// Whether there are weights, and not only a shape.
    var hasWeights: Bool { !isSynthetic }
    /// Remarks about the origin of the sizes, for the reader.
    let notes: [String]
    private let weights: any WeightSource
    private let isSynthetic: Bool
    /// The scheme that `auto` stands for; nil: as stored in the checkpoint's files.
    private let publishedScheme: StoredScheme?
    /// The first layer of each layer class.
    private let distinctLayers: [Int]
    /// For each layer, the first layer of its class.
    private let representatives: [Int]

    init(named name: String) throws {
        try self.init(FoundModel(named: name, mayBeShape: true))
    }

    init(_ entry: ModelCatalogue.Entry) throws {
        try self.init(FoundModel(entry))
    }

    private init(_ found: FoundModel) throws {
        let description = try found.description()
        var decoder = description.decoder
        names = description.names
        var notes = found.warnings
        let missing = decoder.uncomputedFeatures
        if !missing.isEmpty {
            notes.append(
                "\(quoted(decoder.modelType)) models like this one can be planned for; this runtime does not compute them "
                    + "yet: it lacks \(missing.joined(separator: ", "))")
        }
        if let weights = try Self.weights(of: found, description) {
            decoder = weights.decoder
            notes += weights.warnings
            self.weights = weights
            isSynthetic = false
            publishedScheme = nil
        } else {
            if found.checkpoint != nil { notes.append("sizes follow config.json; the weights were not looked at") }
            weights = SyntheticWeights(seed: 0, names: names, decoder: decoder)
            isSynthetic = true
            if let name = found.entry?.quantization {
                publishedScheme = StoredScheme.named(name)
            } else {
                let declared = try DeclaredScheme(found.configuration, decoder: decoder, names: names)
                notes += declared.notes
                publishedScheme = declared.scheme
            }
        }
        self.decoder = decoder
        self.notes = notes
        var first: [LayerClass: Int] = [:]
        let exceptions = Dictionary(grouping: publishedScheme?.exceptions ?? [:]) { $0.key.layer }
        representatives = decoder.layers.enumerated().map { index, layer in
            var parts: [LayerPart: StoredScheme] = [:]
            for (name, scheme) in exceptions[index] ?? [] {
                if case .layer(_, let part) = name { parts[part] = scheme }
            }
            let kind = LayerClass(layer: layer, exceptions: parts)
            if let known = first[kind] { return known }
            first[kind] = index
            return index
        }
        distinctLayers = first.values.sorted()
    }

    /// The properties that layers of the same shape and storage share.
    private struct LayerClass: Hashable {
        let layer: LayerConfiguration
        let exceptions: [LayerPart: StoredScheme]
    }

    /// The model's weights; nil if there are none that this runtime reads.
    private static func weights(
        of found: FoundModel, _ description: ModelDescription
    ) throws -> CheckpointWeights? {
        guard let checkpoint = found.checkpoint, description.decoder.uncomputedFeatures.isEmpty else { return nil }
        do {
            return try CheckpointWeights(
                checkpoint, quantization: checkpoint.quantizationConfiguration(), names: description.names,
                decoder: description.decoder)
        } catch CheckpointError.unsupported {
            // The loader does not read this storage format, but a plan can count it.
            return nil
        }
    }

    /// Whether a scheme means the weights as stored in the checkpoint's files.
    func isAsStored(_ scheme: String) -> Bool { scheme == "auto" && publishedScheme == nil }

    /// The schemes that a plan accepts.
    static let schemeNames = ["auto"] + StoredScheme.all.map(\.name)

    /// The storage of the model in a scheme.
    ///
    /// - Parameters:
    ///   - scheme: a name of `schemeNames`.
    ///   - isHypothetical: whether to assume that the checkpoint's weights are still unquantized.
    func storage(
        scheme: String, kvCacheType: String, options: PackingArguments, profile: MemoryProfile,
        isHypothetical: Bool = false
    ) throws -> StorageChoice {
        let isAsStored = isAsStored(scheme)
        let stored = scheme == "auto" ? publishedScheme : StoredScheme.named(scheme)
        let mainName = stored.map(Self.ownName) ?? "auto"
        try options.check(quantization: mainName)
        let cacheType = try options.cacheType(named: kvCacheType)
        guard profile.accounting == .runtime || isAsStored else {
            return StorageChoice(
                name: stored?.name ?? scheme, formats: { _ in { _ in .bfloat16 } }, scheme: stored ?? .none,
                cacheType: cacheType, quantizesActivations: options.quantizesActivations,
                layerClasses: representatives)
        }
        let isShape = isSynthetic || isHypothetical
        let weights =
            isHypothetical ? SyntheticWeights(seed: 0, names: names, decoder: decoder) : weights
        let (decoder, layers) = (decoder, isShape ? distinctLayers : nil)
        func table(_ quantization: String) throws -> FormatTable {
            let weightOptions = try options.weightOptions(quantization: quantization)
            return FormatTable { shardCount in
                try weightOptions.formats(of: decoder, from: weights, shardCount: shardCount, layers: layers)
            }
        }
        let formats = try table(mainName)
        let unsplit = try formats.table(shardCount: 1)
        // The matrices that are stored in other schemes than most.
        let exceptions = (stored?.exceptions ?? [:]).mapValues(Self.ownName)
        let others = try Dictionary(
            uniqueKeysWithValues: Set(exceptions.values).map { ($0, try table($0)) })
        let representatives = representatives
        let found: String =
            switch unsplit[.down(layer: 0)] {
            case .int4: "int4"
            case .int8: "int8"
            default: "none"
            }
        return StorageChoice(
            name: isAsStored ? (found == "none" ? found : "\(found) as stored") : stored?.name ?? scheme,
            formats: { shardCount in
                // If formats exist only for undivided matrices, the checks of the plan report it.
                let usual = (try? formats.table(shardCount: shardCount)) ?? unsplit
                let unusual = others.mapValues { (try? $0.table(shardCount: shardCount)) ?? unsplit }
                return { name in
                    let table = exceptions[name].flatMap { unusual[$0] } ?? usual
                    guard isShape, case .layer(let layer, let part) = name else { return table[name] ?? .float32 }
                    return table[.layer(representatives[layer], part)] ?? .float32
                }
            },
            scheme: stored ?? StoredScheme.named(found) ?? .none, cacheType: cacheType,
            quantizesActivations: options.quantizesActivations, layerClasses: isShape ? representatives : [])
    }

    /// The `--quantization` that is nearest to a scheme.
    ///
    /// Schemes of 5 to 8 bits count as this runtime's int8, and those of fewer bits as its int4.
    private static func ownName(of scheme: StoredScheme) -> String {
        switch scheme.bits {
        case _ where scheme.name == "w8a8": "w8a8"
        case 16...: "none"
        case ...4: "int4"
        default: "int8"
        }
    }
}

/// The formats of matrices by tensor degree, computed on first use.
private final class FormatTable: Sendable {
    private let make: @Sendable (Int) throws -> [ParameterName: ComputeFormat]
    private let tables = Mutex<[Int: [ParameterName: ComputeFormat]]>([:])

    init(_ make: @escaping @Sendable (Int) throws -> [ParameterName: ComputeFormat]) {
        self.make = make
    }

    func table(shardCount: Int) throws -> [ParameterName: ComputeFormat] {
        try tables.withLock { tables in
            if let table = tables[shardCount] { return table }
            let table = try make(shardCount)
            tables[shardCount] = table
            return table
        }
    }
}

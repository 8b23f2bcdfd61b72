import Architectures
import ArgumentParser
import Checkpoints
import CostModel
import Foundation
import ModelOptions
import ProgramEntry
import Quantization
import Synchronization
import Tensors
import Weights

/// A model that a plan is made for: its shape, and how its weights may be stored.
struct PlannedModel {
    let name: String
    let decoder: DecoderConfiguration
    let family: ModelFamily
    /// Parameters that its authors count.
    let publishedParameterCount: Int?
    /// What a reader should know of where the sizes come from.
    let notes: [String]
    private let weights: any WeightSource
    private let isSynthetic: Bool
    /// The scheme that `auto` stands for; nil: as the checkpoint's files say.
    private let publishedScheme: String?
    /// Layers of which no other before them is alike, and for each layer the one that is.
    private let distinctLayers: [Int]
    private let representatives: [Int]

    init(named name: String) throws {
        try self.init(FoundModel(named: name, mayBeShape: true), name: name)
    }

    init(_ entry: ModelCatalogue.Entry) throws {
        try self.init(FoundModel(entry), name: entry.name)
    }

    private init(_ found: FoundModel, name: String) throws {
        self.name = name
        let family = try ModelFamily.named(by: found.configuration)
        let decoder = try found.decoder(of: family)
        self.family = family
        self.decoder = decoder
        var notes: [String] = []
        if !family.isComputed {
            notes.append("\(family.modelTypes[0]) models can be planned for; this runtime does not compute them yet")
        }
        if let checkpoint = found.checkpoint, family.isComputed {
            weights = try CheckpointWeights(
                checkpoint, quantization: checkpoint.quantizationConfiguration(), names: family.tensorNames,
                decoder: decoder)
            isSynthetic = false
            publishedScheme = nil
        } else {
            if found.checkpoint != nil { notes.append("sizes follow config.json; the weights were not looked at") }
            weights = SyntheticWeights(seed: 0, names: family.tensorNames, decoder: decoder)
            isSynthetic = true
            publishedScheme = try found.entry?.quantization ?? Self.scheme(declaredBy: found.configuration)
        }
        self.notes = notes
        publishedParameterCount = found.entry?.publishedParameterCount
        var first: [LayerConfiguration: Int] = [:]
        representatives = decoder.layers.enumerated().map { index, layer in
            if let known = first[layer] { return known }
            first[layer] = index
            return index
        }
        distinctLayers = first.values.sorted()
    }

    /// What a published `quantization_config` says.
    private static func scheme(declaredBy file: ConfigurationFile) throws -> String {
        guard let object = try file.optionalObject("quantization_config") else { return "none" }
        let method = try object.optionalString("quant_method") ?? ""
        if StoredScheme.named(method) != nil { return method }
        return try object.optionalInteger("bits", in: 1...16) == 4 ? "int4" : "int8"
    }

    /// Schemes that a plan may be asked for.
    static let schemeNames = ["auto"] + StoredScheme.all.map(\.name)

    /// The model stored by a scheme.
    ///
    /// - Parameter scheme: a name of `schemeNames`.
    func storage(scheme: String, kvCacheType: String, options: PlanOptions) throws -> StorageChoice {
        let isAsStored = scheme == "auto" && publishedScheme == nil
        let name = scheme == "auto" ? publishedScheme ?? "auto" : scheme
        let stored = StoredScheme.named(name)
        // This runtime keeps any scheme of 8 bits as its own int8, and any of 4 as int4.
        let own = isAsStored ? "auto" : stored.map { $0.bits >= 16 ? "none" : $0.bits >= 8 ? "int8" : "int4" } ?? "none"
        let arguments = try options.weightArguments(quantization: own, kvCacheType: kvCacheType)
        let weightOptions = try arguments.weightOptions()
        let (decoder, weights, layers) = (decoder, weights, isSynthetic ? distinctLayers : nil)
        let formats = FormatTable { shardCount in
            try weightOptions.formats(of: decoder, from: weights, shardCount: shardCount, layers: layers)
        }
        let unsplit = try formats.table(shardCount: 1)
        let (isSynthetic, representatives) = (isSynthetic, representatives)
        let found: String =
            switch unsplit[.down(layer: 0)] {
            case .int4: "int4"
            case .int8: "int8"
            default: "none"
            }
        return StorageChoice(
            name: isAsStored ? "\(found) as stored" : name,
            formats: { shardCount in
                // Formats that only fail when divided are found to fail by the plan's own checks.
                let table = (try? formats.table(shardCount: shardCount)) ?? unsplit
                return { name in
                    guard isSynthetic, case .layer(let layer, let part) = name else { return table[name] ?? .float32 }
                    return table[.layer(representatives[layer], part)] ?? .float32
                }
            },
            scheme: stored ?? StoredScheme.named(found) ?? StoredScheme.all[0], cacheType: arguments.cacheType,
            quantizesActivations: arguments.quantizesActivations, layerClasses: isSynthetic ? representatives : [])
    }
}

/// Formats by tensor degree, made when they are first asked for.
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

/// Options that say how a planned model is stored.
struct PlanOptions {
    var dtype = "auto"
    var groupSize = 128
    var lmHead = "int8"

    /// The runtime's own options for this; wrong ones are a wrong use.
    func weightArguments(quantization: String = "auto", kvCacheType: String) throws -> WeightArguments {
        do {
            return try WeightArguments.parse([
                "--dtype", dtype, "--quantization", quantization, "--group-size", "\(groupSize)", "--kv-cache-dtype",
                kvCacheType, "--lm-head", lmHead,
            ])
        } catch {
            throw ValidationError(WeightArguments.message(for: error))
        }
    }
}

import Architectures
import ArgumentParser
import CostModel
import ModelOptions
import ProgramEntry
import Synchronization
import Tensors
import Weights

/// A model that a plan is made for: its shape, and how its weights may be stored.
struct PlannedModel {
    let decoder: DecoderConfiguration
    private let family: ModelFamily
    /// Whether there are weights beside the shape.
    var hasWeights: Bool { !isSynthetic }
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
        try self.init(FoundModel(named: name, mayBeShape: true))
    }

    init(_ entry: ModelCatalogue.Entry) throws {
        try self.init(FoundModel(entry))
    }

    private init(_ found: FoundModel) throws {
        let family = try ModelFamily.named(by: found.configuration)
        let decoder = try found.decoder(of: family)
        self.family = family
        self.decoder = decoder
        var notes: [String] = []
        if !family.isComputed {
            let type = try found.configuration.optionalString("model_type") ?? ""
            notes.append("\(type) models can be planned for; this runtime does not compute them yet")
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
            let declared = try found.entry?.quantization ?? Self.scheme(declaredBy: found.configuration)
            if declared == nil {
                notes.append("quantization_config is of a kind that is not known: sizes are those of 16-bit weights")
            }
            publishedScheme = declared ?? "none"
        }
        self.notes = notes
        var first: [LayerConfiguration: Int] = [:]
        representatives = decoder.layers.enumerated().map { index, layer in
            if let known = first[layer] { return known }
            first[layer] = index
            return index
        }
        distinctLayers = first.values.sorted()
    }

    /// What a published `quantization_config` says; nil: nothing that is known.
    private static func scheme(declaredBy file: ConfigurationFile) throws -> String? {
        guard let object = try file.optionalObject("quantization_config") else { return "none" }
        let method = try object.optionalString("quant_method") ?? ""
        let group = try object.optionalObject("config_groups")?.optionalObject("group_0")?.optionalObject("weights")
        let groupBits = try group?.optionalInteger("num_bits", in: 1...16)
        let isFour = try object.optionalBool("load_in_4bit") ?? false
        let isEight = try object.optionalBool("load_in_8bit") ?? false
        let bits = try object.optionalInteger("bits", in: 1...16) ?? groupBits ?? (isFour ? 4 : isEight ? 8 : nil)
        if let stored = StoredScheme.named(method), bits.map({ Double($0) == stored.bits }) ?? true { return method }
        return bits.map { $0 <= 4 ? "int4" : $0 <= 8 ? "int8" : "none" }
    }

    /// Schemes that a plan may be asked for.
    static let schemeNames = ["auto"] + StoredScheme.all.map(\.name)

    /// The model stored by a scheme.
    ///
    /// - Parameters:
    ///   - scheme: a name of `schemeNames`.
    ///   - isHypothetical: as if the checkpoint's weights were floats still.
    func storage(
        scheme: String, kvCacheType: String, options: PlanOptions, profile: MemoryProfile, isHypothetical: Bool = false
    ) throws -> StorageChoice {
        let isAsStored = scheme == "auto" && publishedScheme == nil
        let name = scheme == "auto" ? publishedScheme ?? "auto" : scheme
        let stored = StoredScheme.named(name)
        // This runtime keeps other schemes of 8 bits as its own int8, and those of 4 as int4.
        let own =
            isAsStored || name == "w8a8"
            ? name : stored.map { $0.bits >= 16 ? "none" : $0.bits >= 8 ? "int8" : "int4" } ?? "none"
        let arguments = try options.weightArguments(quantization: own, kvCacheType: kvCacheType)
        guard profile.accounting == .runtime || isAsStored else {
            return StorageChoice(
                name: name, formats: { _ in { _ in .bfloat16 } }, scheme: stored ?? StoredScheme.all[0],
                cacheType: arguments.cacheType, quantizesActivations: arguments.quantizesActivations,
                layerClasses: representatives)
        }
        let weightOptions = try arguments.weightOptions()
        let isShape = isSynthetic || isHypothetical
        let weights =
            isHypothetical ? SyntheticWeights(seed: 0, names: family.tensorNames, decoder: decoder) : weights
        let (decoder, layers) = (decoder, isShape ? distinctLayers : nil)
        let formats = FormatTable { shardCount in
            try weightOptions.formats(of: decoder, from: weights, shardCount: shardCount, layers: layers)
        }
        let unsplit = try formats.table(shardCount: 1)
        let representatives = representatives
        let found: String =
            switch unsplit[.down(layer: 0)] {
            case .int4: "int4"
            case .int8: "int8"
            default: "none"
            }
        return StorageChoice(
            name: isAsStored && found != "none" ? "\(found) as stored" : isAsStored ? "none" : name,
            formats: { shardCount in
                // Formats that only fail when divided are found to fail by the plan's own checks.
                let table = (try? formats.table(shardCount: shardCount)) ?? unsplit
                return { name in
                    guard isShape, case .layer(let layer, let part) = name else { return table[name] ?? .float32 }
                    return table[.layer(representatives[layer], part)] ?? .float32
                }
            },
            scheme: stored ?? StoredScheme.named(found) ?? StoredScheme.all[0], cacheType: arguments.cacheType,
            quantizesActivations: arguments.quantizesActivations, layerClasses: isShape ? representatives : [])
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

/// Options that say how a planned model is stored and run: those of `generate` that change memory.
struct PlanOptions: ParsableArguments {
    @Option(help: "Float type of what is not quantized: auto, float32, bfloat16, float16.")
    var dtype = "auto"
    @Option(help: "Weights that share a scale.")
    var groupSize = 128
    @Option(help: "group, channel or tensor.")
    var granularity = "group"
    @Flag(help: "Quantize around zero (default).")
    var symmetric = false
    @Flag(help: "Quantize with a zero point for each group.")
    var asymmetric = false
    @Option(help: "Output head of quantized weights: int8, none (as stored), same.")
    var lmHead = "int8"
    @Option(help: "Inputs of integer weights: auto (int8 in blocks), int8, float32.")
    var activationDtype = "auto"

    /// The runtime's own options for this; wrong ones are a wrong use.
    func weightArguments(quantization: String = "auto", kvCacheType: String) throws -> WeightArguments {
        do {
            return try WeightArguments.parse(
                [
                    "--dtype", dtype, "--quantization", quantization, "--group-size", "\(groupSize)", "--granularity",
                    granularity, "--kv-cache-dtype", kvCacheType, "--lm-head", lmHead, "--activation-dtype",
                    activationDtype,
                ] + (symmetric ? ["--symmetric"] : []) + (asymmetric ? ["--asymmetric"] : []))
        } catch {
            throw ValidationError(WeightArguments.message(for: error))
        }
    }
}

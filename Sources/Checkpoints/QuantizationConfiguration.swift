import JSON
import Messages
import ModulePatterns

/// How config.json says that weights are stored, in its block `quantization_config`.
///
/// Supported is `quant_method` "compressed-tensors" with the format "pack-quantized". Source of the keys:
/// compressed-tensors 0.20.0, `QuantizationConfig`, `QuantizationScheme` and `QuantizationArgs`.
public struct QuantizationConfiguration: Equatable, Sendable {
    /// How many weights share a scale.
    public enum Granularity: Equatable, Sendable {
        /// This many neighbours in a row share a scale.
        case group(Int)
        /// All weights of a row share a scale.
        case channel
        /// All weights of the matrix share a scale.
        case tensor
    }

    /// How the weights of a matrix are encoded.
    public struct Scheme: Equatable, Sendable {
        /// The width of a code: 4 or 8.
        public let bits: Int
        public let granularity: Granularity
        /// Whether all zero points are 0, and therefore not stored.
        public let isSymmetric: Bool
    }

    /// A scheme and the modules that it is for: exact names, "re:" patterns, or "Linear" for all.
    struct Group: Equatable, Sendable {
        let targets: [ModulePattern]
        let scheme: Scheme
    }

    /// The keys of config.json that may hold the block: the current one, and that of older compressed-tensors.
    public static let keys = ["quantization_config", "compression_config"]

    let groups: [Group]
    private let path: String
    private let ignoredModules: [ModulePattern]

    /// Reads the block of a parsed config.json; nil if there is none.
    ///
    /// - Parameter path: config.json's path, for messages.
    /// - Throws: `unsupported` naming the method or format, `malformedFile`.
    public init?(configuration: JSONValue, path: String) throws(CheckpointError) {
        let root = JSONField<CheckpointError>(configuration, file: path)
        let blocks = try Self.keys.map { key throws(CheckpointError) in try root[key] }
        guard let block = blocks.first(where: { !$0.isAbsent }) else { return nil }
        self.path = path
        let method = try block["quant_method"].ifPresent?.string() ?? "none named"
        guard method == "compressed-tensors" else {
            throw .unsupported(path: path, feature: "quantization method \(quoted(method))")
        }
        let format = try block["format"].ifPresent?.string()
        let groups = try block["config_groups"]
        self.groups = try groups.members().map { member throws(CheckpointError) in
            let group = member.field
            let name = try group["format"].ifPresent?.string() ?? format ?? "none named"
            guard name == "pack-quantized" else {
                throw .unsupported(path: path, feature: "compressed-tensors format \(quoted(name))")
            }
            return Group(targets: try modules(group["targets"]), scheme: try Scheme(of: group))
        }
        guard !self.groups.isEmpty else { throw groups.fault(expected: "an object with members") }
        ignoredModules = try block["ignore"].ifPresent.map(modules) ?? []
    }

    /// Modules that are not quantized, as exact names or "re:" patterns.
    public var ignored: [String] { ignoredModules.map(\.source) }

    /// The scheme of the module `name`, such as "model.layers.0.mlp.down_proj"; nil if it is not quantized.
    ///
    /// - Throws: `malformedFile` for a pattern that takes too many steps.
    public func scheme(for name: String) throws(CheckpointError) -> Scheme? {
        do throws(PatternTooCostly) {
            for module in ignoredModules {
                if try module.matches(name) { return nil }
            }
            // An exact name or a pattern takes precedence over the class, as in compressed-tensors.
            for group in groups {
                for target in group.targets where target.source != Self.everyLinear {
                    if try target.matches(name) { return group.scheme }
                }
            }
        } catch {
            throw .malformedFile(
                path: path, problem: "quantization_config: the pattern \(quoted(error.source)) takes too many steps")
        }
        return groups.first { $0.targets.contains { $0.source == Self.everyLinear } }?.scheme
    }

    /// The target that means all linear layers.
    private static let everyLinear = "Linear"
}

/// Reads a list of names or patterns of modules.
private func modules(_ list: JSONField<CheckpointError>) throws(CheckpointError) -> [ModulePattern] {
    try list.elements().map { element throws(CheckpointError) in
        guard let module = ModulePattern(try element.string()) else {
            throw element.fault(expected: "a pattern that is understood")
        }
        return module
    }
}

extension QuantizationConfiguration.Scheme {
    fileprivate init(of group: JSONField<CheckpointError>) throws(CheckpointError) {
        for key in ["input_activations", "output_activations"] {
            let activations = try group[key]
            guard activations.isAbsent else {
                throw .unsupported(
                    path: group.file, feature: "\(escaped(activations.name)) (pack-quantized weights have none)")
            }
        }
        let weights = try group["weights"]
        let type = try weights["type"].ifPresent?.string() ?? "int"
        bits = try weights["num_bits"].integer(in: 1...64)
        guard type == "int", bits == 4 || bits == 8 else {
            throw .unsupported(
                path: group.file,
                feature: "\(bits)-bit \(escaped(type)) weights in \(quoted(weights.name)) (int of 4 or 8 are read)")
        }
        granularity = try QuantizationConfiguration.Granularity(of: weights)
        isSymmetric = try weights["symmetric"].ifPresent?.bool() ?? true
    }
}

extension QuantizationConfiguration.Granularity {
    fileprivate init(of weights: JSONField<CheckpointError>) throws(CheckpointError) {
        let size = try weights["group_size"]
        // Without a strategy the group size decides, as in compressed-tensors.
        let standard = size.isAbsent ? "tensor" : size.value.wholeNumber == -1 ? "channel" : "group"
        switch try weights["strategy"].ifPresent?.string() ?? standard {
        case "tensor": self = .tensor
        case "channel": self = .channel
        case "group": self = .group(try size.integer(in: 1...1 << 30))
        case let other:
            throw .unsupported(path: weights.file, feature: "strategy \(quoted(other)) in \(quoted(weights.name))")
        }
    }
}

import JSON
import Messages
import ModulePatterns

/// What `quantization_config` in config.json says about the storage of weights.
///
/// Read for now: `quant_method` "compressed-tensors", format "pack-quantized". Source of the keys:
/// compressed-tensors 0.20.0, `QuantizationConfig`, `QuantizationScheme` and `QuantizationArgs`.
public struct QuantizationConfiguration: Equatable, Sendable {
    /// How many weights share a scale.
    public enum Granularity: Equatable, Sendable {
        /// This many neighbours in a row.
        case group(Int)
        /// A row.
        case channel
        /// The whole matrix.
        case tensor
    }

    /// How the weights of a matrix are encoded.
    public struct Scheme: Equatable, Sendable {
        /// 4 or 8.
        public let bits: Int
        public let granularity: Granularity
        /// Whether zero points are all 0 and not stored.
        public let isSymmetric: Bool
    }

    /// A scheme and the modules it is for: exact names, "re:" patterns, or the class "Linear" for all.
    struct Group: Equatable, Sendable {
        let targets: [ModulePattern]
        let scheme: Scheme
    }

    /// The keys of config.json that hold the block: today's, and that of older compressed-tensors.
    public static let keys = ["quantization_config", "compression_config"]

    let groups: [Group]
    private let path: String
    private let ignoredModules: [ModulePattern]

    /// Reads the block of a parsed config.json; nil if there is none.
    ///
    /// - Parameter path: config.json's path, for messages.
    /// - Throws: `unsupported` naming the method or format, `malformedFile`.
    public init?(configuration: JSONValue, path: String) throws(CheckpointError) {
        let blocks = Self.keys.lazy.compactMap { configuration[$0] }
        guard let block = blocks.first(where: { $0 != .null }) else { return nil }
        self.path = path
        let keys = ConfigurationKeys(path: path)
        let method = block["quant_method"]?.stringValue ?? "none named"
        guard method == "compressed-tensors" else {
            throw .unsupported(path: path, feature: "quantization method \(quoted(method))")
        }
        let format = block["format"]?.stringValue
        guard let members = block["config_groups"]?.members, !members.isEmpty else {
            throw .malformedFile(path: path, problem: "quantization_config has no config_groups")
        }
        var groups: [Group] = []
        for member in members {
            let name = member.value["format"]?.stringValue ?? format ?? "none named"
            guard name == "pack-quantized" else {
                throw .unsupported(path: path, feature: "compressed-tensors format \(quoted(name))")
            }
            let targets = try keys.modules(member.value["targets"], "targets of \(quoted(member.name))")
            groups.append(Group(targets: targets, scheme: try keys.scheme(member.value, group: quoted(member.name))))
        }
        self.groups = groups
        let ignored = block["ignore"] ?? .null
        ignoredModules = ignored == .null ? [] : try keys.modules(ignored, "ignore")
    }

    /// Modules that are stored as they are: exact names or "re:" patterns.
    public var ignored: [String] { ignoredModules.map(\.source) }

    /// The scheme of the module `name` ("model.layers.0.mlp.down_proj"); nil if it is stored as it is.
    ///
    /// - Throws: `malformedFile` for a pattern that takes too many steps.
    public func scheme(for name: String) throws(CheckpointError) -> Scheme? {
        do throws(PatternTooCostly) {
            for module in ignoredModules {
                if try module.matches(name) { return nil }
            }
            // An exact name or pattern goes before the class, as in compressed-tensors.
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

/// Reads the values of known keys, with messages that name them.
private struct ConfigurationKeys {
    let path: String

    func malformed(_ problem: String) -> CheckpointError {
        .malformedFile(path: path, problem: "quantization_config: \(problem)")
    }

    func modules(_ value: JSONValue?, _ key: String) throws(CheckpointError) -> [ModulePattern] {
        guard let elements = value?.elements else { throw malformed("\(key) is not a list") }
        var modules: [ModulePattern] = []
        for element in elements {
            guard let text = element.stringValue else { throw malformed("\(key) holds something not a string") }
            guard let module = ModulePattern(text) else {
                throw malformed("\(key) holds \(quoted(text)), which is not a pattern that is understood")
            }
            modules.append(module)
        }
        return modules
    }

    func scheme(
        _ group: JSONValue, group name: String
    ) throws(CheckpointError) -> QuantizationConfiguration.Scheme {
        for key in ["input_activations", "output_activations"] where (group[key] ?? .null) != .null {
            throw .unsupported(path: path, feature: "\(key) in \(name) (pack-quantized weights have none)")
        }
        guard let weights = group["weights"], weights != .null else { throw malformed("\(name) has no weights") }
        let type = weights["type"]?.stringValue ?? "int"
        guard let bits = weights["num_bits"]?.integerValue else { throw malformed("\(name) has no num_bits") }
        guard type == "int", bits == 4 || bits == 8 else {
            throw .unsupported(
                path: path, feature: "\(bits)-bit \(escaped(type)) weights in \(name) (int of 4 or 8 are read)")
        }
        return QuantizationConfiguration.Scheme(
            bits: bits, granularity: try granularity(weights, group: name),
            isSymmetric: weights["symmetric"]?.boolValue ?? true)
    }

    func granularity(
        _ weights: JSONValue, group name: String
    ) throws(CheckpointError) -> QuantizationConfiguration.Granularity {
        let size = weights["group_size"]?.integerValue
        // Without a strategy the group size decides, as in compressed-tensors.
        let strategy = weights["strategy"]?.stringValue ?? (size == nil ? "tensor" : size == -1 ? "channel" : "group")
        switch strategy {
        case "tensor": return .tensor
        case "channel": return .channel
        case "group":
            guard let size, (1...1 << 30).contains(size) else {
                throw malformed("\(name) has strategy group without a group_size above 0")
            }
            return .group(size)
        default: throw .unsupported(path: path, feature: "strategy \(quoted(strategy)) in \(name)")
        }
    }
}

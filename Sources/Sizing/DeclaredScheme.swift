import Architectures
import Messages
import ModulePatterns

/// The storage of linear layers according to a published `quantization_config`.
///
/// It knows the keys of Hugging Face transformers, compressed-tensors, GPTQModel, AutoAWQ and ModelOpt.
public struct DeclaredScheme: Sendable {
    public let scheme: StoredScheme
    /// Remarks about the scheme for the reader of an answer.
    public let notes: [String]

    /// Reads the quantization block of a `config.json`; without one, weights are floating point.
    ///
    /// - Parameter names: the names of the modules that the block refers to.
    public init(
        _ file: ConfigurationFile, decoder: DecoderConfiguration, names: TensorNames
    ) throws(ConfigurationError) {
        let block: ConfigurationFile
        if let today = try file.optionalObject("quantization_config") {
            block = today
        } else if let older = try file.optionalObject("compression_config") {
            block = older
        } else {
            (scheme, notes) = (.none, [])
            return
        }
        let rules = try Rules(block)
        let modules = decoder.parameters().filter(\.isLinear).map { ($0.name, names.module($0.name)) }
        var schemes: [ParameterName: StoredScheme] = [:]
        do throws(PatternTooCostly) {
            for (name, module) in modules { schemes[name] = try rules.scheme(of: module) }
        } catch {
            throw block.unsupported("re:", "the pattern \(quoted(error.source)) takes too many steps")
        }
        scheme = StoredScheme(schemes)
        notes = rules.notes
    }
}

/// The rules by which a `quantization_config` assigns schemes to modules.
private struct Rules {
    /// Tests of module names with their schemes; the first that matches counts.
    private var rules: [(test: ModuleTest, scheme: StoredScheme)] = []
    /// The scheme of modules that no rule matches.
    private var base = StoredScheme.none
    private(set) var notes: [String] = []

    /// The values of `quant_method` that have keys of their own.
    private enum Method: String {
        case awq
        case gptq
        case autoRound = "auto-round"
        case compressedTensors = "compressed-tensors"
        case bitsandbytes
        case modelopt
    }

    private static let bitRange = 1...16

    init(_ block: ConfigurationFile) throws(ConfigurationError) {
        let method = try block.optionalString("quant_method") ?? ""
        switch Method(rawValue: method) {
        case .awq:
            try readGroups(block, method: "awq", bitKeys: ["bits", "w_bit"], sizeKeys: ["group_size", "q_group_size"])
        case .gptq: try readGroups(block, method: "gptq", bitKeys: ["bits"], sizeKeys: ["group_size"])
        case .autoRound: try readGroups(block, method: "auto-round", bitKeys: ["bits"], sizeKeys: ["group_size"])
        case .compressedTensors: try readCompressedTensors(block)
        case .bitsandbytes: try readBitsAndBytes(block)
        case .modelopt: try readModelOpt(block)
        case nil: try readOther(block, method: method)
        }
        for key in ["modules_to_not_convert", "ignored_layers", "llm_int8_skip_modules", "ignore", "exclude_modules"] {
            for entry in try block.optionalStrings(key) ?? [] {
                // compressed-tensors gives whole names; others give parts of names.
                if entry.hasPrefix("re:") || key == "ignore" {
                    if let pattern = pattern(entry) { rules.insert((.pattern(pattern), .none), at: 0) }
                } else {
                    rules.insert((.part(entry), .none), at: 0)
                }
            }
        }
    }

    /// The scheme of the module "model.layers.0.mlp.down_proj".
    ///
    /// - Throws: `PatternTooCostly`.
    func scheme(of module: String) throws(PatternTooCostly) -> StoredScheme {
        for rule in rules {
            if try rule.test.matches(module) { return rule.scheme }
        }
        return base
    }

    /// Reads AWQ, GPTQ and similar methods, which have a 16-bit scale and a zero point for each group.
    private mutating func readGroups(
        _ block: ConfigurationFile, method: String, bitKeys: [String], sizeKeys: [String]
    ) throws(ConfigurationError) {
        func scheme(_ object: ConfigurationFile, or usual: StoredScheme?) throws(ConfigurationError) -> StoredScheme {
            var bits = usual.map { Int($0.bits) } ?? 4
            var size = usual.map { $0.groupSize } ?? 128
            for key in bitKeys { bits = try object.optionalInteger(key, in: Self.bitRange) ?? bits }
            for key in sizeKeys {
                guard let given = try object.optionalInteger(key, in: -1...1 << 30) else { continue }
                size = given > 0 ? given : nil
            }
            return StoredScheme(
                name: bits == 4 ? method : "\(method) \(bits)-bit", bits: Double(bits), groupSize: size,
                groupBits: 16 + Double(bits))
        }
        base = try scheme(block, or: nil)
        // GPTQModel's exceptions: the prefix "+:", or none, changes a module's scheme; "-:" leaves it unquantized.
        guard let dynamic = try block.optionalObject("dynamic") else { return }
        for key in dynamic.keys {
            guard let object = try dynamic.optionalObject(key) else { continue }
            let isLeft = key.hasPrefix("-:")
            guard let pattern = pattern("re:" + (isLeft || key.hasPrefix("+:") ? key.dropFirst(2) : key[...])) else {
                continue
            }
            rules.append((.pattern(pattern), isLeft ? .none : try scheme(object, or: base)))
        }
    }

    /// Reads every group of `config_groups`; names and patterns precede the class of all linear layers.
    private mutating func readCompressedTensors(_ block: ConfigurationFile) throws(ConfigurationError) {
        guard let groups = try block.optionalObject("config_groups") else {
            notes.append("quantization_config has no config_groups: sizes are those of 16-bit weights")
            return
        }
        for key in groups.keys {
            guard let group = try groups.optionalObject(key), let weights = try group.optionalObject("weights") else {
                continue
            }
            let scheme = try Self.scheme(weights, quantizesInputs: group.has("input_activations"))
            for target in try group.optionalStrings("targets") ?? ["Linear"] {
                if target == "Linear" {
                    base = scheme
                } else if let pattern = pattern(target) {
                    rules.append((.pattern(pattern), scheme))
                }
            }
        }
    }

    /// Reads compressed-tensors' `QuantizationArgs` of weights.
    private static func scheme(
        _ weights: ConfigurationFile, quantizesInputs: Bool
    ) throws(ConfigurationError) -> StoredScheme {
        let bits = try weights.optionalInteger("num_bits", in: bitRange) ?? 8
        let isFloat = try weights.optionalString("type") == "float"
        let isSymmetric = try weights.optionalBool("symmetric") ?? true
        let size = try weights.optionalInteger("group_size", in: -1...1 << 30).flatMap { $0 > 0 ? $0 : nil }
        let isBlock = try weights.optionalString("strategy") == "block"
        // Scales of 4-bit floats have 8 bits; those of a 128 x 128 block have 32, which is 0.25 for each row of 128.
        let scaleBits = isFloat && bits <= 4 ? 8.0 : 16
        let name =
            isFloat ? (bits <= 4 ? "fp4" : "fp\(bits)") : quantizesInputs && bits == 8 ? "w8a8" : "int\(bits)"
        return StoredScheme(
            name: name, bits: Double(bits), groupSize: isBlock ? 128 : size,
            groupBits: isBlock ? 0.25 : scaleBits + (isSymmetric ? 0 : Double(bits)))
    }

    /// Reads bitsandbytes: blocks of 64 weights with a float32 scale, which may itself be quantized, or 8-bit rows.
    private mutating func readBitsAndBytes(_ block: ConfigurationFile) throws(ConfigurationError) {
        let isFour = try block.optionalBool("load_in_4bit") ?? false
        let isDouble = try block.optionalBool("bnb_4bit_use_double_quant") ?? false
        base =
            isFour
            ? StoredScheme(
                name: "bitsandbytes 4-bit", bits: 4, groupSize: 64, groupBits: isDouble ? 8 + 32.0 / 256 : 32)
            : StoredScheme(name: "bitsandbytes 8-bit", bits: 8, groupSize: nil, groupBits: 32)
    }

    private mutating func readModelOpt(_ block: ConfigurationFile) throws(ConfigurationError) {
        let inner = try block.optionalObject("quantization") ?? block
        let algorithm = try inner.optionalString("quant_algo") ?? ""
        switch algorithm {
        case "FP8": base = StoredScheme(name: "fp8", bits: 8, groupSize: nil, groupBits: 0)
        case "NVFP4": base = StoredScheme(name: "nvfp4", bits: 4, groupSize: 16, groupBits: 8)
        case "W4A16_AWQ", "W4A8_AWQ":
            let size = try inner.optionalInteger("group_size", in: 1...1 << 30) ?? 128
            base = StoredScheme(name: "awq", bits: 4, groupSize: size, groupBits: 16)
        case "W8A16", "INT8_SQ": base = StoredScheme(name: "int8", bits: 8, groupSize: nil, groupBits: 16)
        default: notes.append("modelopt's \(quoted(algorithm)) is not known: sizes are those of 16-bit weights")
        }
    }

    /// Reads a method that is named like a scheme, or an unknown one, for which its own number of bits counts, or 16.
    private mutating func readOther(_ block: ConfigurationFile, method: String) throws(ConfigurationError) {
        let own = try block.optionalNumber("bits", in: 1...16)
        let other = try block.optionalNumber("num_bits", in: 1...16)
        let bits = own ?? other
        if let known = StoredScheme.named(method == "fbgemm_fp8" ? "fp8" : method), bits ?? known.bits == known.bits {
            base = known
            return
        }
        let name =
            method.isEmpty ? "quantization_config without a quant_method" : "quantization method \(quoted(method))"
        guard let bits else {
            notes.append("\(name) is not known: sizes are those of 16-bit weights")
            return
        }
        notes.append(
            "\(name) is not known: counted as \(shown(bits)) bits a weight, as it says, and 16 for 128 of them")
        base = StoredScheme(name: "\(shown(bits))-bit", bits: bits, groupSize: 128, groupBits: 16)
    }

    /// Compiles a pattern; nil, with a note, if it cannot be read.
    private mutating func pattern(_ entry: String) -> ModulePattern? {
        if let pattern = ModulePattern(entry) { return pattern }
        notes.append("the pattern \(quoted(entry)) of quantization_config cannot be read, and is left out")
        return nil
    }
}

/// A test of whether a rule applies to a module.
private enum ModuleTest {
    case pattern(ModulePattern)
    /// The module's name contains this text as one or more whole components.
    case part(String)

    func matches(_ module: String) throws(PatternTooCostly) -> Bool {
        switch self {
        case .pattern(let pattern): try pattern.matches(module)
        case .part(let part): ".\(module).".contains(".\(part).")
        }
    }
}

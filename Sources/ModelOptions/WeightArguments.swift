import ArgumentParser
import Quantization
import Tensors
import Weights

/// The options that say in which formats a model's weights and its key-value cache are kept.
public struct WeightArguments: ParsableArguments, Sendable {
    @Option(
        help:
            "auto (as stored), none (as floats); quantize while loading: int8, int4, w8a8 (int8 with a scale a channel)."
    )
    public var quantization = "auto"

    @OptionGroup public var packing: PackingArguments

    @Option(
        help:
            "Key-value cache: auto, float32, float16, bfloat16, int8, fp8. auto: float32 with --dtype float32, else float16."
    )
    public var kvCacheDtype = "auto"

    public init() {}

    public mutating func validate() throws {
        try packing.check(quantization: quantization)
        _ = try packing.cacheType(named: kvCacheDtype)
    }

    /// How weights are stored on the ranks.
    public func weightOptions() throws -> WeightOptions { try packing.weightOptions(quantization: quantization) }

    /// Whether inputs of integer weights are rounded to integers too.
    public var quantizesActivations: Bool { packing.quantizesActivations }

    /// The type of the key-value cache.
    public var cacheType: KeyValueType {
        guard let type = try? packing.cacheType(named: kvCacheDtype) else { preconditionFailure("checked by validate") }
        return type
    }

    /// Bytes of the cache that a head's key and value at one position take.
    public func cacheByteCount(headDimension: Int) -> Int {
        let bytes = cacheType.byteCount(headDimension: headDimension)
        return bytes.key + bytes.value + bytes.scales
    }
}

/// The options of formats that do not name a quantization or a type of cache: those that plans for several share.
public struct PackingArguments: ParsableArguments, Sendable {
    @Option(help: "Float type of weights that are not quantized: auto, float32, bfloat16, float16.")
    var dtype = "auto"

    @Option(help: "Weights that share a scale, with --quantization int8 or int4.")
    var groupSize = 128

    @Option(help: "group, channel or tensor, with --quantization int8 or int4.")
    var granularity = "group"

    @Flag(help: "Quantize around zero (default).")
    var symmetric = false

    @Flag(help: "Quantize with a zero point for each group.")
    var asymmetric = false

    @Option(help: "Output head when quantizing while loading: int8, none (as stored), same.")
    var lmHead = "int8"

    @Option(help: "Inputs of integer weights: auto (int8 in blocks), int8, float32.")
    var activationDtype = "auto"

    public init() {}

    public mutating func validate() throws {
        try check("dtype", dtype, ["auto", "float32", "bfloat16", "float16"])
        try check("granularity", granularity, ["group", "channel", "tensor"])
        try check("lm-head", lmHead, ["int8", "none", "same"])
        try check("activation-dtype", activationDtype, ["auto", "int8", "float32"])
        if symmetric && asymmetric { throw ValidationError("--symmetric and --asymmetric exclude each other.") }
        guard (1...1 << 20).contains(groupSize) else {
            throw ValidationError("--group-size must be 1 or more, not \(groupSize).")
        }
    }

    /// Checks that a quantization is known and agrees with the other options.
    ///
    /// - Throws: `ValidationError`.
    public func check(quantization: String) throws {
        try check("quantization", quantization, ["auto", "none", "int8", "int4", "w8a8"])
        if quantization == "w8a8" && (activationDtype == "float32" || granularity != "group" || asymmetric) {
            throw ValidationError(
                "--quantization w8a8 means symmetric 8-bit weights with a scale a channel and 8-bit activations; "
                    + "leave out --activation-dtype, --granularity and --asymmetric, or choose int8.")
        }
    }

    private func check(_ option: String, _ value: String, _ allowed: [String]) throws {
        guard allowed.contains(value) else {
            throw ValidationError("--\(option) must be one of \(allowed.joined(separator: ", ")), not '\(value)'.")
        }
    }

    /// How weights are stored on the ranks with `--quantization` of this name.
    public func weightOptions(quantization: String) throws -> WeightOptions {
        let floatType: ElementType? =
            switch dtype {
            case "float32": .float32
            case "bfloat16": .bfloat16
            case "float16": .float16
            default: nil
            }
        switch quantization {
        case "auto": return WeightOptions(floatType: floatType)
        case "none": return WeightOptions(floatType: floatType, quantization: .none)
        default: break
        }
        let scheme = try scheme(quantization)
        let head: WeightOptions.Head =
            switch lmHead {
            case "none": .asStored
            case "same": .sameAsLayers
            default: .scheme(try IntegerScheme(bits: 8, granularity: scheme.granularity))
            }
        return WeightOptions(floatType: floatType, quantization: .scheme(scheme), head: head)
    }

    private func scheme(_ quantization: String) throws -> IntegerScheme {
        let granularity: IntegerScheme.Granularity =
            switch self.granularity {
            case _ where quantization == "w8a8": .channel
            case "channel": .channel
            case "tensor": .tensor
            default: .group(groupSize)
            }
        return try IntegerScheme(
            bits: quantization == "int4" ? 4 : 8, granularity: granularity, isSymmetric: !asymmetric)
    }

    /// Whether activations are quantized for integer weights, and may be rounded for bfloat16 weights.
    public var quantizesActivations: Bool { activationDtype != "float32" }

    /// The type of the key-value cache that `--kv-cache-dtype` of this name means.
    ///
    /// `auto` is half precision, which keeps three bits more than bfloat16 at the same size.
    ///
    /// - Throws: `ValidationError`.
    public func cacheType(named name: String) throws -> KeyValueType {
        try check("kv-cache-dtype", name, ["auto"] + KeyValueType.allCases.map(\.rawValue))
        return KeyValueType(rawValue: name) ?? (dtype == "float32" ? .float32 : .float16)
    }
}

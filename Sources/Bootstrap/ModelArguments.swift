import Architectures
import ArgumentParser
import Foundation
import Models
import Quantization
import Tensors
import Topology

/// The options that say which model runs, in which formats, on which plan.
public struct ModelArguments: ParsableArguments, Sendable {
    @Option(help: "A Hugging Face directory, ORG/NAME in the local cache, or synthetic:NAME.")
    public var model: String

    @Option(help: "Float type of weights that are not quantized: auto, float32, bfloat16, float16.")
    var dtype = "auto"

    @Option(
        help:
            "auto (as stored), none (as floats); quantize while loading: int8, int4, w8a8 (int8 with a scale a channel)."
    )
    var quantization = "auto"

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

    @Option(
        help: """
            Type that rotary frequencies are rounded to: auto, float32, saved (the type that config.json names). \
            auto: saved with --dtype float32, which widens a saved model as it is; float32 otherwise.
            """)
    var rotaryDtype = "auto"

    @Option(
        help:
            "Key-value cache: auto, float32, float16, bfloat16, int8, fp8. auto: float32 with --dtype float32, else float16."
    )
    var kvCacheDtype = "auto"

    @Option(
        help:
            "Longest sequence, such as 8K, or auto (what memory allows). Default: the model's limit, or less if enough."
    )
    public var maxModelLen: String?

    @Option(help: "Tokens computed in one step at most.")
    public var maxNumBatchedTokens = TokenCount(512)

    @Option(help: "Sequences computed at a time at most.")
    public var maxNumSeqs = 8

    @Option(help: "Memory that a rank may use, such as 8GiB. Default: its share of the host's.")
    var memory: ByteSize?

    @Option(help: "Worker threads of each rank. Default: its share of the processors it may run on.")
    var threads: Int?

    @Option(
        name: [.customLong("tensor-parallel-size"), .customLong("tp", withSingleDash: true)],
        help: "Ranks that share each layer.")
    var tensorParallelSize: Int?

    @Option(
        name: [.customLong("pipeline-parallel-size"), .customLong("pp", withSingleDash: true)],
        help: "Stages of layers.")
    var pipelineParallelSize: Int?

    @Option(help: "A plan from a file, such as Topologies/tp2-pp2.json.")
    var topology: String?

    @OptionGroup
    var collectives: CollectiveArguments

    @Flag(help: "Compare every collective operation over the ranks before it starts.")
    var checkCollectives = false

    @Option(
        help:
            "Kernels to use: scalar, avx2, avx2vnni, avx512, avx512vnni, avx512bf16, amx, neon. Default: the best that every rank runs."
    )
    var kernels: String?

    @Option(help: "trace, debug, info, notice, warning, error or critical.")
    public var logLevel: String?

    @Option(help: .hidden)
    public var weightSeed: UInt64 = 0

    public init() {}
}

extension ModelArguments {
    public mutating func validate() throws {
        try check("dtype", dtype, ["auto", "float32", "bfloat16", "float16"])
        try check("quantization", quantization, ["auto", "none", "int8", "int4", "w8a8"])
        try check("granularity", granularity, ["group", "channel", "tensor"])
        try check("lm-head", lmHead, ["int8", "none", "same"])
        try check("activation-dtype", activationDtype, ["auto", "int8", "float32"])
        try check("rotary-dtype", rotaryDtype, ["auto", "float32", "saved"])
        try check("kv-cache-dtype", kvCacheDtype, ["auto"] + KeyValueType.allCases.map(\.rawValue))
        if quantization == "w8a8" && (activationDtype == "float32" || granularity != "group" || asymmetric) {
            throw ValidationError(
                "--quantization w8a8 means symmetric 8-bit weights with a scale a channel and 8-bit activations; "
                    + "leave out --activation-dtype, --granularity and --asymmetric, or choose int8.")
        }
        if symmetric && asymmetric { throw ValidationError("--symmetric and --asymmetric exclude each other.") }
        if topology != nil, tensorParallelSize != nil || pipelineParallelSize != nil {
            throw ValidationError(
                "--topology and --tensor-parallel-size or --pipeline-parallel-size exclude each other.")
        }
        for (name, value) in [
            ("group-size", groupSize), ("max-num-seqs", maxNumSeqs), ("threads", threads ?? 1),
            ("tensor-parallel-size", tensorParallelSize ?? 1), ("pipeline-parallel-size", pipelineParallelSize ?? 1),
        ] where value < 1 || value > 1 << 20 {
            throw ValidationError("--\(name) must be 1 or more, not \(value).")
        }
        if let maxModelLen, maxModelLen != "auto", TokenCount(argument: maxModelLen) == nil {
            throw ValidationError(
                "--max-model-len must be a number of tokens, such as 4096 or 16K, or auto, not '\(maxModelLen)'.")
        }
    }

    private func check(_ option: String, _ value: String, _ allowed: [String]) throws {
        guard allowed.contains(value) else {
            throw ValidationError("--\(option) must be one of \(allowed.joined(separator: ", ")), not '\(value)'.")
        }
    }

    /// How weights are stored on the ranks.
    func weightOptions() throws -> WeightOptions {
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
        let scheme = try scheme(bits: quantization == "int4" ? 4 : 8)
        let head: WeightOptions.Head =
            switch lmHead {
            case "none": .asStored
            case "same": .sameAsLayers
            default: .scheme(try IntegerScheme(bits: 8, granularity: scheme.granularity))
            }
        return WeightOptions(floatType: floatType, quantization: .scheme(scheme), head: head)
    }

    private func scheme(bits: Int) throws -> IntegerScheme {
        let granularity: IntegerScheme.Granularity =
            switch self.granularity {
            case _ where quantization == "w8a8": .channel
            case "channel": .channel
            case "tensor": .tensor
            default: .group(groupSize)
            }
        return try IntegerScheme(bits: bits, granularity: granularity, isSymmetric: !asymmetric)
    }

    var memoryLimit: Int? { memory?.byteCount }
    var threadCount: Int? { threads }
    /// Workers are bound to processors only where those are this rank's own.
    var pinsThreads: Bool { threads == nil }

    var quantizesActivations: Bool { activationDtype != "float32" }

    /// What rotary frequencies are rounded to.
    ///
    /// A model that is cast to bfloat16 and then widened has frequencies rounded to bfloat16; this is how the golden
    /// files of our tests were computed. Loaded as published, in transformers and here, they are exact.
    func rotaryType(of model: OpenedModel) -> ElementType {
        let isWidened = rotaryDtype == "saved" || (rotaryDtype == "auto" && dtype == "float32")
        return isWidened ? model.savedType ?? .float32 : .float32
    }

    /// The type of the cache.
    ///
    /// Half precision keeps three bits more than bfloat16 at the same size.
    var cacheType: KeyValueType {
        KeyValueType(rawValue: kvCacheDtype) ?? (dtype == "float32" ? .float32 : .float16)
    }

    /// Bytes of the cache that a head's key and value at one position take.
    public func cacheByteCount(headDimension: Int) -> Int {
        let bytes = cacheType.byteCount(headDimension: headDimension)
        return bytes.key + bytes.value + bytes.scales
    }

    /// The plan that options or file ask for; with neither, every rank shares every layer.
    func plan(rankCount: Int) throws -> ParallelPlan {
        if let topology {
            guard let data = FileManager.default.contents(atPath: topology) else {
                throw RunError(.missingInput, "no such topology file: \(topology)")
            }
            do {
                return try JSONDecoder().decode(ParallelPlan.self, from: data)
            } catch {
                throw RunError(
                    .badInput,
                    "\(topology) is no topology: it must be JSON like {\"tensor_parallel_size\": 2, \"pipeline_parallel_size\": 2, "
                        + "\"layers\": [12, 10], \"weights\": [2, 1, 1, 1]}")
            }
        }
        let pipeline = pipelineParallelSize ?? 1
        let tensor = tensorParallelSize ?? (pipelineParallelSize == nil ? rankCount : max(1, rankCount / pipeline))
        return ParallelPlan(tensorDegree: tensor, pipelineDegree: pipeline)
    }
}

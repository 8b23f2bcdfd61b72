import Architectures
import ArgumentParser
import ModelOptions
import ProgramEntry
import Tensors
import Topology

/// The options that say which model runs, in which formats, on which plan.
public struct ModelArguments: ParsableArguments, Sendable {
    @Option(help: "A Hugging Face directory, ORG/NAME in the local cache, or synthetic:NAME.")
    public var model: String

    @OptionGroup
    public var weights: WeightArguments

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

    @OptionGroup
    var tracing: TraceArguments

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
        if topology != nil, tensorParallelSize != nil || pipelineParallelSize != nil {
            throw ValidationError(
                "--topology and --tensor-parallel-size or --pipeline-parallel-size exclude each other.")
        }
        for (name, value) in [
            ("max-num-seqs", maxNumSeqs), ("threads", threads ?? 1),
            ("tensor-parallel-size", tensorParallelSize ?? 1), ("pipeline-parallel-size", pipelineParallelSize ?? 1),
        ] where value < 1 || value > 1 << 20 {
            throw ValidationError("--\(name) must be 1 or more, not \(value).")
        }
        if let maxModelLen, maxModelLen != "auto", TokenCount(argument: maxModelLen) == nil {
            throw ValidationError(
                "--max-model-len must be a number of tokens, such as 4096 or 16K, or auto, not '\(maxModelLen)'.")
        }
    }

    var memoryLimit: Int? { memory?.byteCount }
    var threadCount: Int? { threads }
    /// Whether workers are bound to processors: not if the user chose their number, which may differ from the number of
    /// processors that this rank has for itself.
    var pinsThreads: Bool { threads == nil }

    /// Gives the plan that the options or the topology file ask for; without either, every rank has a shard of every
    /// layer.
    func plan(rankCount: Int) throws -> ParallelPlan {
        if let topology { return try ParallelPlan(topology: topology) }
        let pipeline = pipelineParallelSize ?? 1
        let tensor = tensorParallelSize ?? (pipelineParallelSize == nil ? rankCount : max(1, rankCount / pipeline))
        return ParallelPlan(tensorDegree: tensor, pipelineDegree: pipeline)
    }
}

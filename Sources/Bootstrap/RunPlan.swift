import Architectures
import Collectives
import Engine
import Kernels
import MemoryPlan
import ModelOptions
import Models
import ProgramEntry
import Tensors
import Topology

/// The sizes for which a run must be planned; rank 0 knows them before weights are read.
public struct RunNeeds: Sendable {
    /// The number of prompt tokens and new tokens of the longest sequence; nil for as many as the model allows.
    public var sequenceLength: Int?
    /// The shortest sequence length with which every prompt can be computed: the longest prompt, and one new token if
    /// any is wanted.
    public var leastLength: Int
    /// The number of sequences that can be computed together.
    public var sequenceCount: Int

    public init(sequenceLength: Int?, leastLength: Int = 1, sequenceCount: Int) {
        self.sequenceLength = sequenceLength
        self.leastLength = leastLength
        self.sequenceCount = sequenceCount
    }

    /// Makes the needs of one sequence for each prompt.
    ///
    /// - Parameters:
    ///   - prompts: the number of tokens of each prompt.
    ///   - newTokens: the most new tokens of a sequence.
    ///   - limit: the length of the longest sequence allowed.
    public init(prompts: [Int], newTokens: Int, limit: Int, sequenceCount: Int) {
        let longest = prompts.max() ?? 0
        self.init(
            sequenceLength: min(limit, longest + newTokens), leastLength: longest + min(1, newTokens),
            sequenceCount: sequenceCount)
    }
}

/// The memory that one rank needs, as a function of the sequence length.
private struct RankNeeds {
    let memory: RankFootprint
    let sequenceCount: Int
    let stepTokens: Int
    let quantizesActivations: Bool

    /// Gives the largest step.
    ///
    /// It assumes that the kernels round the inputs of products, because steps of other kernels take no more memory.
    func step(length: Int) -> StepShape {
        StepShape(
            tokenCount: max(min(stepTokens, sequenceCount * length), sequenceCount), logitRows: StepLimits.logitRows,
            quantizesActivations: quantizesActivations, roundsInputs: true)
    }

    func blockCount(length: Int) -> Int {
        sequenceCount * cacheBlockCount(forLength: length, blockLength: CacheStorage.blockLength)
    }

    func cache(length: Int) -> Double {
        Double(blockCount(length: length) * CacheStorage.blockLength) * memory.cachePerToken
    }

    func activations(length: Int) -> Double { Double(memory.stepBytes(step(length: length)).activations) }

    func total(length: Int) -> Double {
        memory.weights + Double(RankFootprint.overhead) + cache(length: length) + activations(length: length)
    }
}

/// The sizes of a run, which are the same on every rank, and the memory that they take on this rank.
struct RunPlan {
    let limits: StepLimits
    let cacheBlockCount: Int
    /// The bytes of this rank's part of the cache.
    let cacheByteCount: Int
    let arenaByteCount: Int
    /// The bytes of this rank's activations, including the arena.
    let activationByteCount: Int
    /// The format in which each matrix is packed.
    let formats: [ParameterName: ComputeFormat]

    /// Chooses the longest sequence and checks that every rank has the memory for it.
    ///
    /// - Parameter memories: the bytes of memory that each rank may use.
    init(
        _ model: OpenedModel, plan: ParallelPlan, arguments: ModelArguments, needs: RunNeeds,
        formats: [ParameterName: ComputeFormat], rank: Int, memories: [Int]
    ) throws {
        let limit = try Self.lengthLimit(of: model, arguments: arguments)
        let sequences = max(1, min(arguments.maxNumSeqs, needs.sequenceCount))
        let ranks = memories.indices.map { rank in
            RankNeeds(
                memory: RankFootprint(
                    model.decoder, plan: plan, rank: rank, cacheType: arguments.weights.cacheType,
                    format: { formats[$0] ?? .float32 }), sequenceCount: sequences,
                stepTokens: arguments.maxNumBatchedTokens.count,
                quantizesActivations: arguments.weights.quantizesActivations)
        }
        func tightest(length: Int) -> (rank: Int, missing: Double) {
            var worst = (rank: 0, missing: -Double.infinity)
            for (rank, needs) in ranks.enumerated() {
                let missing = needs.total(length: length) - Double(memories[rank])
                if missing > worst.missing { worst = (rank, missing) }
            }
            return worst
        }
        let longest = longestLength(unit: CacheStorage.blockLength, limit: limit) {
            tightest(length: $0).missing <= 0
        }
        var length = min(limit, needs.sequenceLength ?? limit)
        switch arguments.maxModelLen {
        case nil: break
        case "auto": length = longest ?? min(limit, CacheStorage.blockLength)
        // For a length that the user asked for as a number, the whole cache is reserved.
        default: length = limit
        }
        guard needs.leastLength <= length else {
            throw RunError(
                .badInput,
                "a sequence of \(needs.leastLength) tokens does not fit into the \(length) that "
                    + (arguments.maxModelLen == "auto" ? "memory has room for" : "--max-model-len allows")
                    + "; shorten the prompt, use more ranks or --memory, or --kv-cache-dtype int8")
        }
        let worst = tightest(length: length)
        if worst.missing > 0 {
            throw MemoryRefusal(
                description: Self.refusal(
                    ranks[worst.rank], rank: worst.rank, memory: memories[worst.rank], length: length,
                    longest: longest))
        }
        limits = StepLimits(
            tokenCount: ranks[rank].step(length: length).tokenCount, sequenceCount: sequences, sequenceLength: length)
        cacheBlockCount = ranks[rank].blockCount(length: length)
        self.formats = formats
        cacheByteCount = Int(ranks[rank].cache(length: length))
        (arenaByteCount, activationByteCount) = ranks[rank].memory.stepBytes(ranks[rank].step(length: length))
    }

    /// Describes the memory that is missing, in words that vLLM's users know.
    private static func refusal(_ needs: RankNeeds, rank: Int, memory: Int, length: Int, longest: Int?) -> String {
        func shown(_ bytes: Double) -> String { formattedByteCount(Int(max(0, min(bytes, 0x1p62)))) }
        let overhead = Double(RankFootprint.overhead)
        let activations = needs.activations(length: length)
        let rest = needs.memory.weights + activations + overhead
        let parts =
            "weights \(shown(needs.memory.weights)), activations \(shown(activations)) and \(shown(overhead)) besides, of "
            + shown(Double(memory))
        let remedy = "use more ranks, --quantization int8 or int4, --kv-cache-dtype int8, or more --memory"
        guard let longest else {
            return "rank \(rank): no available memory for the cache blocks (after \(parts)): needs "
                + "\(shown(needs.total(length: length))); \(remedy)"
        }
        let sequences = needs.sequenceCount
        return
            "rank \(rank): to serve \(sequences) request\(sequences == 1 ? "" : "s") with max seq len \(length), "
            + "\(shown(needs.cache(length: length))) KV cache is needed, which is larger than the available KV cache "
            + "memory (\(shown(Double(memory) - rest)), after \(parts)). The estimated maximum model length is \(longest): "
            + "decrease --max-model-len (or auto), \(remedy)"
    }

    /// Gives the length of the longest sequence that the option allows, or the model if the option does not limit it.
    static func lengthLimit(of model: OpenedModel, arguments: ModelArguments) throws -> Int {
        guard let option = arguments.maxModelLen, option != "auto", let wanted = TokenCount(argument: option)?.count
        else {
            return model.decoder.positionLimit
        }
        guard wanted <= model.decoder.positionLimit || model.isSynthetic else {
            throw RunError(
                .badInput,
                "--max-model-len \(wanted) is beyond the \(model.decoder.positionLimit) positions that \(model.name) was made for"
            )
        }
        return wanted
    }
}

/// The error that the plan needs more memory than a rank has; it names the rank.
struct MemoryRefusal: JobError, CustomStringConvertible {
    let description: String
}

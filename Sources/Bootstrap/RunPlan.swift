import Architectures
import Collectives
import CostModel
import Engine
import Kernels
import ModelOptions
import Models
import ProgramEntry
import Tensors
import Topology

/// What a command needs of a run, known on rank 0 before weights are read.
public struct RunNeeds: Sendable {
    /// Prompt and new tokens of the longest sequence; nil: as long as the model allows.
    public var sequenceLength: Int?
    /// The shortest length at which every sequence can be computed: the longest prompt, and a new token if any is wanted.
    public var leastLength: Int
    /// Sequences that can be computed together.
    public var sequenceCount: Int

    public init(sequenceLength: Int?, leastLength: Int = 1, sequenceCount: Int) {
        self.sequenceLength = sequenceLength
        self.leastLength = leastLength
        self.sequenceCount = sequenceCount
    }

    /// The needs of sequences, each of some prompt tokens and at most so many new ones, within the longest allowed.
    ///
    /// - Parameter prompts: the numbers of tokens of the prompts.
    public init(prompts: [Int], newTokens: Int, limit: Int, sequenceCount: Int) {
        let longest = prompts.max() ?? 0
        self.init(
            sequenceLength: min(limit, longest + newTokens), leastLength: longest + min(1, newTokens),
            sequenceCount: sequenceCount)
    }
}

/// Sizes of a run, the same on every rank, and what they cost on this one.
struct RunPlan {
    let limits: StepLimits
    let cacheBlockCount: Int
    let estimate: MemoryEstimate
    /// How matrices are packed.
    let formats: [ParameterName: ComputeFormat]

    /// Chooses the longest sequence and checks that every rank has the memory for it.
    ///
    /// - Parameter memories: bytes that each rank may use.
    init(
        _ model: OpenedModel, plan: ParallelPlan, arguments: ModelArguments, needs: RunNeeds,
        formats: [ParameterName: ComputeFormat], rank: Int, memories: [Int]
    ) throws {
        let limit = try Self.lengthLimit(of: model, arguments: arguments)
        let sequences = max(1, min(arguments.maxNumSeqs, needs.sequenceCount))
        // The accounting of `sizing --profile trireme`, for steps of the size asked for.
        var profile = MemoryProfile.trireme
        profile.stepTokens = arguments.maxNumBatchedTokens.count
        let storage = StorageChoice(
            name: arguments.weights.quantization, formats: { _ in { formats[$0] ?? .float32 } },
            cacheType: arguments.weights.cacheType, quantizesActivations: arguments.weights.quantizesActivations)
        let cards = memories.indices.map {
            CardDemand(model.decoder, plan: plan, rank: $0, storage: storage, profile: profile)
        }
        func tightest(length: Int) -> (rank: Int, missing: Double) {
            var worst = (rank: 0, missing: -Double.infinity)
            for (rank, card) in cards.enumerated() {
                let missing = card.total(length: length, batch: sequences) - Double(memories[rank])
                if missing > worst.missing { worst = (rank, missing) }
            }
            return worst
        }
        let longest = CardPlanner.longest(unit: CacheStorage.blockLength, limit: limit) {
            tightest(length: $0).missing <= 0
        }
        var length = min(limit, needs.sequenceLength ?? limit)
        switch arguments.maxModelLen {
        case nil: break
        case "auto": length = longest ?? min(limit, CacheStorage.blockLength)
        // Asked for by number, all of it is kept ready.
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
                    cards[worst.rank], rank: worst.rank, memory: memories[worst.rank], length: length,
                    sequences: sequences, longest: longest))
        }
        limits = StepLimits(
            tokenCount: max(min(arguments.maxNumBatchedTokens.count, sequences * length), sequences),
            sequenceCount: sequences, sequenceLength: length)
        cacheBlockCount = sequences * ((length + CacheStorage.blockLength - 1) / CacheStorage.blockLength)
        self.formats = formats
        estimate = MemoryEstimate(
            model.decoder, plan: plan, rank: rank,
            shape: RunShape(
                tokensPerStep: limits.tokenCount, logitRows: StepLimits.logitRows, cacheBlockCount: cacheBlockCount,
                cacheBlockLength: CacheStorage.blockLength, cacheType: storage.cacheType,
                quantizesActivations: storage.quantizesActivations),
            format: { formats[$0] ?? .float32 })
    }

    /// What is missing, in the words that vLLM's users know.
    private static func refusal(
        _ card: CardDemand, rank: Int, memory: Int, length: Int, sequences: Int, longest: Int?
    ) -> String {
        func shown(_ bytes: Double) -> String { formattedByteCount(Int(max(0, min(bytes, 0x1p62)))) }
        let activations = card.activations(length: length, batch: sequences)
        let rest = card.weights + activations + card.overhead
        let parts =
            "weights \(shown(card.weights)), activations \(shown(activations)) and \(shown(card.overhead)) besides, of \(shown(Double(memory)))"
        let remedy = "use more ranks, --quantization int8 or int4, --kv-cache-dtype int8, or more --memory"
        guard let longest else {
            return "rank \(rank): no available memory for the cache blocks (after \(parts)): needs "
                + "\(shown(card.total(length: length, batch: sequences))); \(remedy)"
        }
        return
            "rank \(rank): to serve \(sequences) request\(sequences == 1 ? "" : "s") with max seq len \(length), "
            + "\(shown(card.cache(length: length, batch: sequences))) KV cache is needed, which is larger than the available KV cache "
            + "memory (\(shown(Double(memory) - rest)), after \(parts)). The estimated maximum model length is \(longest): "
            + "decrease --max-model-len (or auto), \(remedy)"
    }

    /// The longest sequence allowed, by the option or by the model.
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

/// The plan needs more memory than a rank has, which it names.
struct MemoryRefusal: JobError, CustomStringConvertible {
    let description: String
}

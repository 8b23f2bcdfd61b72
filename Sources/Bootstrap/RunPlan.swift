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
    /// Sequences that can be computed together.
    public var sequenceCount: Int

    public init(sequenceLength: Int?, sequenceCount: Int) {
        self.sequenceLength = sequenceLength
        self.sequenceCount = sequenceCount
    }
}

/// Sizes of a run, the same on every rank, and what they cost on this one.
struct RunPlan {
    let limits: StepLimits
    let cacheBlockCount: Int
    let estimate: MemoryEstimate
    /// How matrices are packed.
    let formats: [ParameterName: ComputeFormat]

    /// Memory that a process takes besides weights, cache and activations: code, MPI, buffers of the loader.
    static let overhead = 64 << 20

    /// Chooses the longest sequence and checks that every rank has the memory for it.
    ///
    /// - Parameter memories: bytes that each rank may use.
    init(
        _ model: OpenedModel, plan: ParallelPlan, arguments: ModelArguments, needs: RunNeeds,
        formats: [ParameterName: ComputeFormat], rank: Int, memories: [Int]
    ) throws {
        let limit = try Self.lengthLimit(of: model, arguments: arguments)
        let sequences = max(1, min(arguments.maxNumSeqs, needs.sequenceCount))
        func sizes(length: Int) -> (limits: StepLimits, blocks: Int) {
            let tokens = min(arguments.maxNumBatchedTokens.count, sequences * length)
            let blocks = sequences * ((length + CacheStorage.blockLength - 1) / CacheStorage.blockLength)
            return (
                StepLimits(tokenCount: max(tokens, sequences), sequenceCount: sequences, sequenceLength: length), blocks
            )
        }
        func estimate(length: Int, rank: Int) -> MemoryEstimate {
            let (limits, blocks) = sizes(length: length)
            return MemoryEstimate(
                model.decoder, plan: plan, rank: rank,
                shape: RunShape(
                    tokensPerStep: limits.tokenCount, logitRows: StepLimits.logitRows, cacheBlockCount: blocks,
                    cacheBlockLength: CacheStorage.blockLength, cacheType: arguments.weights.cacheType,
                    quantizesActivations: arguments.weights.quantizesActivations),
                format: { formats[$0] ?? .float32 })
        }
        func tightest(length: Int) -> (rank: Int, missing: Int) {
            memories.indices.map { ($0, estimate(length: length, rank: $0).total + Self.overhead - memories[$0]) }
                .max { $0.1 < $1.1 } ?? (0, 0)
        }
        var length = min(limit, needs.sequenceLength ?? limit)
        if arguments.maxModelLen == "auto" {
            // The longest that fits, in blocks of the cache.
            var low = 0
            var high = (limit + CacheStorage.blockLength - 1) / CacheStorage.blockLength
            while low < high {
                let middle = (low + high + 1) / 2
                if tightest(length: middle * CacheStorage.blockLength).missing <= 0 {
                    low = middle
                } else {
                    high = middle - 1
                }
            }
            length = min(limit, max(1, low) * CacheStorage.blockLength)
        }
        let worst = tightest(length: length)
        if worst.missing > 0 {
            let need = estimate(length: length, rank: worst.rank)
            throw RunError(
                .badInput,
                "rank \(worst.rank) needs \(formattedByteCount(need.total + Self.overhead)) (weights \(formattedByteCount(need.weights)), "
                    + "key-value cache \(formattedByteCount(need.keyValueCache)) for \(sequences) x \(length) tokens, "
                    + "activations \(formattedByteCount(need.activations))) but may use \(formattedByteCount(memories[worst.rank])); "
                    + "use more ranks, a smaller --max-model-len, --quantization int8 or int4, or --memory")
        }
        (limits, cacheBlockCount) = sizes(length: length)
        self.formats = formats
        self.estimate = estimate(length: length, rank: rank)
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

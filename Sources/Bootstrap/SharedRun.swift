import Architectures
import Collectives
import Hashing
import Kernels
import Logging
import Messages
import ModelOptions
import ProgramEntry
import Topology

/// Checks that every rank was given what the answer depends on: the same model, plan and options.
///
/// Only rank 0 tokenizes and samples, so the tokenizer and the options of prompts and sampling may differ. So may what a
/// rank says of its host: memory, threads, paths. The build has been compared when MPI started.
///
/// - Throws: `AgreedError` with the first thing in which ranks differ, the same on every rank.
func requireSameRun(
    _ arguments: ModelArguments, model: OpenedModel, plan: ParallelPlan, over world: any Communicator
) throws {
    // Reading a sample of every tensor is for nothing where there is nobody to compare it with.
    guard world.size > 1 else { return }
    let facts = try agree(on: world, status: { ExitStatus($0).rawValue }) {
        try model.facts() + arguments.facts(plan: plan)
    }
    try world.requireSame(facts, status: ExitStatus.badInput.rawValue)
}

/// The table that every rank computes with: the best that is fast on all of them, or the one asked for.
func agreeOnKernels(_ arguments: ModelArguments, world: any Communicator, logger: Logger) throws -> KernelTable {
    let wanted = arguments.kernels
    let names = { (tables: [KernelTable]) in tables.map(\.name).joined(separator: ", ") }
    let mine = try agree(on: world, status: { ExitStatus($0).rawValue }) {
        let choices = KernelTable.choices(wanted)
        guard let best = KernelTable.common([choices]) else {
            let all = KernelTable.all.map(\.table)
            throw all.contains { $0.name == wanted }
                ? RunError(
                    .badInput,
                    "this processor cannot run the \(wanted ?? "") kernels; it runs \(names(KernelTable.supported))")
                : RunError(.usage, "--kernels must be one of \(names(all)), not \(quoted(wanted ?? ""))")
        }
        return (best: best, choices: choices)
    }
    let all = try world.gatherAll([mine.choices]).map { $0[0] }
    // `scalar` is everyone's choice unless another is asked for, and then all ask for the same.
    let common = KernelTable.common(all) ?? mine.best
    if common.level != mine.best.level {
        logger.warning("kernels \(common.name) instead of \(mine.best.name): the best that is fast on every rank")
    }
    return common
}

extension OpenedModel {
    /// What ranks must hold alike of a model.
    ///
    /// Of the weights a sample is compared: some bytes of every tensor.
    fileprivate func facts() throws -> [SharedFact] {
        let remedy = "give every rank the same model"
        return [
            SharedFact("the model's configuration (config.json)", digest: decoder.digest, remedy: remedy),
            SharedFact("the weight files' tensors", digest: weights.layoutDigest, remedy: remedy),
            SharedFact("the weights", digest: try weights.contentDigest(), remedy: remedy),
        ]
    }
}

extension DecoderConfiguration {
    /// A hash over everything that the configuration means; layers that are alike are described once.
    fileprivate var digest: UInt64 {
        var outer = self
        outer.layers = []
        var hash = WordHash(of: "\(outer)")
        var known: [LayerConfiguration: UInt64] = [:]
        for layer in layers {
            let value = known[layer] ?? WordHash(of: "\(layer)").value
            known[layer] = value
            hash.add(value)
        }
        return hash.value
    }
}

extension ModelArguments {
    /// What ranks must hold alike of the options.
    fileprivate func facts(plan: ParallelPlan) throws -> [SharedFact] {
        let layers = plan.layerCounts.map { "\($0)" } ?? "even"
        let shares = plan.weights.map { "\($0)" } ?? "equal"
        return [
            (
                "the plan",
                "tensor \(plan.tensorDegree), pipeline \(plan.pipelineDegree), layers \(layers), weights \(shares)"
            ),
            ("--dtype, --quantization or one of its options", "\(try weights.weightOptions())"),
            ("--activation-dtype", weights.quantizesActivations ? "int8" : "float32"),
            ("--kv-cache-dtype", weights.cacheType.rawValue),
            ("--kernels", kernels ?? "the best"),
            ("--max-model-len", maxModelLen ?? "the default"),
            ("--max-num-batched-tokens", "\(maxNumBatchedTokens)"),
            ("--max-num-seqs", "\(maxNumSeqs)"),
        ].map { SharedFact($0.0, $0.1, remedy: SharedFact.sameOptions + " and the same topology file") }
    }
}

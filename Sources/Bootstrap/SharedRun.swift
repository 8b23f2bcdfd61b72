import Architectures
import Collectives
import Hashing
import Kernels
import Logging
import Messages
import ModelOptions
import ProgramEntry
import Topology

/// Checks that every rank was given the same model, plan and options, because the answer depends on them.
///
/// Only rank 0 tokenizes and samples, so the tokenizer and the options of prompts and sampling may differ. Options that
/// describe a rank's host, such as memory, threads and paths, may differ too. The build was compared when MPI started.
///
/// - Throws: `AgreedError`, the same on every rank, for the first fact in which ranks differ.
func requireSameRun(
    _ arguments: ModelArguments, model: OpenedModel, plan: ParallelPlan, over world: any Communicator
) throws {
    // A single rank has no other rank to compare with, and should not spend time on a sample of every tensor.
    guard world.size > 1 else { return }
    let facts = try agree(on: world, status: { ExitStatus($0).rawValue }) {
        try model.facts() + arguments.facts(plan: plan)
    }
    try world.requireSame(facts, status: ExitStatus.badInput.rawValue)
}

/// Gives the table that every rank computes with: the best one that is fast on all ranks, or the one asked for.
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
    // The ranks always have a table in common: `scalar` is among the choices of every rank unless the user asks for a
    // table, and then all ranks ask for the same one.
    let common = KernelTable.common(all) ?? mine.best
    if common.level != mine.best.level {
        logger.warning("kernels \(common.name) instead of \(mine.best.name): the best that is fast on every rank")
    }
    return common
}

extension OpenedModel {
    /// Gives the facts about the model that must be the same on every rank.
    ///
    /// Only a sample of the weights is compared, which is some bytes of every tensor.
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
    /// A hash of the whole configuration; the hash of equal layers is computed once.
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
    /// Gives the facts about the options that must be the same on every rank.
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
            ("--trace or --trace-steps", tracing.fact),
        ].map { SharedFact($0.0, $0.1, remedy: SharedFact.sameOptions + " and the same topology file") }
    }
}

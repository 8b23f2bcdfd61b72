import Architectures
import Collectives
import Engine
import Generation
import Glibc
import JobWatch
import Kernels
import Layers
import Logging
import MPICollectives
import ModelOptions
import Models
import ProgramEntry
import Tensors
import Tokenization
import Topology
import Weights

/// What a program on rank 0 works with: the model, ready on all ranks.
public struct RankSession {
    public let model: OpenedModel
    public let engine: Engine
    public let tokenizer: ModelTokenizer
    public let logger: Logger
    public let limits: StepLimits
    /// How matrices are packed.
    public let formats: [ParameterName: ComputeFormat]
}

/// What a run was and took, known when it is over.
public struct RunReport: Sendable {
    public let plan: ParallelPlan
    public let rankCount: Int
    public let threadCount: Int
    public let kernels: String
    public let loadTime: Duration
    /// One for each rank.
    public let memory: [RankMemory]
    public let wasInterrupted: Bool
}

/// Bytes of one rank.
public struct RankMemory: Encodable, Equatable, Sendable {
    public let rank: Int
    public let weightBytes: Int
    public let keyValueCacheBytes: Int
    public let activationBytes: Int
    public let peakResidentBytes: Int

    enum CodingKeys: String, CodingKey {
        case rank
        case weightBytes = "weight_bytes"
        case keyValueCacheBytes = "kv_cache_bytes"
        case activationBytes = "activation_bytes"
        case peakResidentBytes = "peak_rss_bytes"
    }
}

/// Runs a program over all ranks: the single place where MPI, kernels, plan, logging and model meet.
///
/// Ends the process.
///
/// - Parameters:
///   - prepare: on rank 0, before weights are read: what the run must be planned for.
///   - body: on rank 0, with the model loaded on all ranks.
///   - report: on rank 0, after the last step, unless the run was interrupted and has nothing to say.
public func withRank<Prepared, Result>(
    _ arguments: ModelArguments,
    prepare: (OpenedModel, ModelTokenizer) throws -> (Prepared, RunNeeds),
    body: (RankSession, Prepared) throws -> Result,
    report: (Result, RunReport) throws -> Void
) -> Never {
    var options = arguments.collectives.options()
    options.facts.append(
        SharedFact("--check-collectives", "\(arguments.checkCollectives)", remedy: SharedFact.sameOptions))
    let status = withMPI(
        options,
        { world -> ExitStatus in
            let world = arguments.checkCollectives ? CheckedCommunicator(world) : world
            InterruptFlag.install()
            let options = HeartbeatOptions(timeout: arguments.collectives.patience)
            return try withHeartbeat(over: world, options: options) { heartbeat in
                try runRank(arguments, world, heartbeat, prepare: prepare, body: body, report: report)
            }
        },
        exitStatus: { ExitStatus($0).rawValue },
        report: { complain("trireme: \($0)") })
    endProgram(status: status.rawValue)
}

/// The user or the launcher ended the job before the model was ready.
struct LoadingInterrupted: JobError, CustomStringConvertible {
    var description: String { "loading was interrupted" }
}

private func runRank<Prepared, Result>(
    _ arguments: ModelArguments, _ world: any Communicator, _ heartbeat: Heartbeat,
    prepare: (OpenedModel, ModelTokenizer) throws -> (Prepared, RunNeeds),
    body: (RankSession, Prepared) throws -> Result,
    report: (Result, RunReport) throws -> Void
) throws -> ExitStatus {
    func agreed<Value>(_ body: () throws -> Value) throws -> Value {
        try agree(on: world, status: { ExitStatus($0).rawValue }) {
            do {
                return try body()
            } catch is CancellationError {
                throw LoadingInterrupted()
            }
        }
    }
    let logger = try agreed { try makeLogger(rank: world.rank, level: arguments.logLevel) }
    heartbeat.activity.enter(.loading)
    let start = ContinuousClock.now

    // What every rank opens must be the same, and must fit the plan.
    let (model, plan) = try agreed {
        let model = try OpenedModel(named: arguments.model, seed: arguments.weightSeed)
        let plan = try arguments.plan(rankCount: world.size)
        try plan.validate(for: model.decoder, rankCount: world.size, names: model.family.tensorNames)
        return (model, plan)
    }
    if world.rank == 0 { for warning in model.warnings { logger.warning("\(warning)") } }
    try requireSameRun(arguments, model: model, plan: plan, over: world)
    let kernels = try agreeOnKernels(arguments, world: world, logger: logger)
    let host = try HostShare(over: world)
    let threads = try agreed { try threadCount(arguments, host: host, logger: logger) }

    // Rank 0 reads the prompts; the others learn how long they are.
    var prepared: (value: Prepared, tokenizer: ModelTokenizer)?
    var needs = RunNeeds(sequenceLength: nil, sequenceCount: 1)
    try agreed {
        guard world.rank == 0 else { return }
        let tokenizer = ModelTokenizer(of: model)
        let (value, wanted) = try prepare(model, tokenizer)
        if let reason = tokenizer.failure {
            logger.warning("texts are shown as token numbers: \(reason)")
        }
        for warning in tokenizer.value?.warnings ?? [] { logger.warning("\(warning)") }
        prepared = (value, tokenizer)
        needs = wanted
    }
    let shared = try world.gatherAll([needs.sequenceLength ?? 0, needs.leastLength, needs.sequenceCount])[0]
    needs = RunNeeds(
        sequenceLength: shared[0] == 0 ? nil : shared[0], leastLength: shared[1], sequenceCount: shared[2])
    let memories = try world.gatherAll([UInt64(arguments.memoryLimit ?? host.memory)]).map { Int($0[0]) }

    let context = try ParallelContext(plan: plan, layerCount: model.decoder.layers.count, world: world)
    let pool = WorkerPool(
        count: threads, processors: arguments.pinsThreads && host.quota == nil ? host.processors : [],
        isCrowded: threads > host.threadCount)
    let loader = DecoderLoader(
        configuration: model.decoder, source: model.weights, options: try arguments.weights.weightOptions(),
        context: context,
        pool: pool)
    let progress = ProgressLine(isShown: world.rank == 0)
    let (run, runner) = try agreed {
        let formats = try loader.options.formats(
            of: model.decoder, from: model.weights, shardCount: plan.tensorDegree)
        let run = try RunPlan(
            model, plan: plan, arguments: arguments, needs: needs, formats: formats, rank: world.rank,
            memories: memories)
        let cache = CacheOptions(blockCount: run.cacheBlockCount, type: arguments.weights.cacheType)
        let decoder = try loader.load(cache: cache, maximumLength: run.limits.sequenceLength) { done, total in
            progress.show("loading \(model.name)", done: done, of: total)
        } isCancelled: {
            InterruptFlag.isRaised
        }
        let arena = try Arena(byteCount: run.estimate.arena)
        arena.touch()
        let backend = CPUBackend(table: kernels, pool: pool, arena: arena)
        let runner = RankRunner(
            decoder: decoder, backend: backend, limits: run.limits, cacheBlockCount: run.cacheBlockCount,
            quantizesActivations: arguments.weights.quantizesActivations)
        return (run, runner)
    }
    let loadTime = ContinuousClock.now - start
    logger.info(
        """
        tensor parallel \(plan.tensorDegree), pipeline parallel \(plan.pipelineDegree), \(threads) thread(s) a rank, \
        kernels \(kernels.name), \(formattedByteCount(runner.decoder.weightByteCount)) of weights on this rank, \
        loaded in \(loadTime.formattedSeconds) s
        """)
    runner.onPhase = { phase, step in
        let next: Phase =
            switch phase {
            case .waiting: .waiting
            case .prefill: .prefill
            case .decode: .decode
            }
        heartbeat.activity.enter(next, step: step)
    }
    runner.onMeasure = LimitProbe(kernels: kernels, pool: pool, formats: run.formats).measure
    runner.onTrace = { trace, step in printTrace(trace, step: step, rank: world.rank) }

    // Only from here on do ranks work in step: until now each reads at its own speed, and later rank 0 may wait for a reader.
    context.setTimeout(arguments.collectives.operationPatience)
    var result: Result?
    if world.rank == 0, let prepared {
        let engine = Engine(runner: runner, cacheBlockCount: run.cacheBlockCount, blockLength: CacheStorage.blockLength)
        let session = RankSession(
            model: model, engine: engine, tokenizer: prepared.tokenizer, logger: logger, limits: run.limits,
            formats: run.formats)
        result = try body(session, prepared.value)
        try engine.stop()
    } else {
        try runner.follow()
    }

    context.setTimeout(nil)
    heartbeat.activity.enter(.finishing)
    let mine = [
        runner.decoder.weightByteCount, run.estimate.keyValueCache, run.estimate.activations,
        HostShare.peakResidentByteCount(),
    ]
    let memory = try world.gatherAll(mine).enumerated().map { rank, values in
        RankMemory(
            rank: rank, weightBytes: values[0], keyValueCacheBytes: values[1], activationBytes: values[2],
            peakResidentBytes: values[3])
    }
    let isInterrupted = try world.gatherAll([InterruptFlag.isRaised ? 1 : 0])[0][0] == 1
    try agreed {
        guard let result else { return }
        try report(
            result,
            RunReport(
                plan: plan, rankCount: world.size, threadCount: threads, kernels: kernels.name, loadTime: loadTime,
                memory: memory, wasInterrupted: isInterrupted))
    }
    pool.stop()
    return isInterrupted ? .interrupted : .done
}

private func threadCount(_ arguments: ModelArguments, host: HostShare, logger: Logger) throws -> Int {
    let count = arguments.threadCount ?? host.threadCount
    // Workers that wait in turn for a processor make no headway: a mistake rather than a wish.
    let most = 8 * max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    guard count <= most else {
        throw RunError(.usage, "--threads \(count) is far more than this host's processors; use at most \(most)")
    }
    if host.isBoundTightly {
        logger.warning(
            "the launcher binds this rank to one processor though the host has more; start it with --bind-to none, as Launch/local.sh does"
        )
    } else if count > host.threadCount {
        let quota = host.quota.map { "the \($0) processors that the control group gives" }
        logger.warning(
            "\(count) threads on \(quota ?? "\(host.threadCount) processor(s)"): threads will wait for each other")
    }
    return count
}

private func makeLogger(rank: Int, level: String?) throws -> Logger {
    var logger = Logger(label: "trireme.rank\(rank)", factory: { StreamLogHandler.standardError(label: $0) })
    logger.logLevel = rank == 0 ? .info : .warning
    if let level {
        guard let chosen = Logger.Level(rawValue: level) else {
            let names = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw RunError(.usage, "--log-level must be one of \(names), not '\(level)'")
        }
        logger.logLevel = chosen
    }
    return logger
}

private func printTrace(_ trace: StepTrace, step: Int, rank: Int) {
    complain("rank \(rank), step \(step):")
    complain("  layer operation             shape                 bytes      time (us)")
    for entry in trace.entries {
        let layer = entry.layer.map(String.init) ?? ""
        complain(
            "  \(layer.padded(to: 5)) \(entry.operation.padded(to: 21)) \(entry.shape.padded(to: 18)) "
                + "\(String(entry.byteCount).padded(to: 12)) \(entry.duration.microseconds)")
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}

extension Duration {
    /// Seconds as a floating-point number.
    public var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }

    var microseconds: Double { (seconds * 1e7).rounded() / 10 }

    /// Seconds with two decimals.
    public var formattedSeconds: String { "\((seconds * 100).rounded() / 100)" }
}

extension RankSession {
    /// A generator over this session's engine and tokenizer.
    public func makeGenerator() -> Generator {
        var ends = Set(model.endTokens.map { Int32($0) })
        if ends.isEmpty, let end = tokenizer.value?.endOfText { ends.insert(end.rawValue) }
        return Generator(engine: engine, tokenizer: tokenizer.value, endTokens: ends)
    }

    /// Whether the user or the launcher wants the run to end.
    public var isInterrupted: Bool { InterruptFlag.isRaised }
}

extension ModelArguments {
    /// The longest sequence allowed, by the option or by the model.
    public func lengthLimit(of model: OpenedModel) throws -> Int {
        try RunPlan.lengthLimit(of: model, arguments: self)
    }
}

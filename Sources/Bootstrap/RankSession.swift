import Architectures
import Collectives
import Engine
import Generation
import Glibc
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
    public let tokenizer: Tokenizer?
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
    prepare: (OpenedModel, Tokenizer?) throws -> (Prepared, RunNeeds),
    body: (RankSession, Prepared) throws -> Result,
    report: (Result, RunReport) throws -> Void
) -> Never {
    let status = withMPI(
        arguments.collectives.options(),
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
    prepare: (OpenedModel, Tokenizer?) throws -> (Prepared, RunNeeds),
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
    let kernels = try agreeOnKernels(arguments, model: model, world: world, logger: logger, agreed: agreed)
    let host = try HostShare(over: world)
    let threads = try agreed { try threadCount(arguments, host: host, logger: logger) }

    // Rank 0 reads the prompts; the others learn how long they are.
    var prepared: (value: Prepared, tokenizer: Tokenizer?)?
    var needs = RunNeeds(sequenceLength: nil, sequenceCount: 1)
    try agreed {
        guard world.rank == 0 else { return }
        let tokenizer = try model.directory.flatMap { directory in
            access(directory + "/tokenizer.json", R_OK) == 0 ? try Tokenizer(contentsOf: directory) : nil
        }
        let (value, wanted) = try prepare(model, tokenizer)
        prepared = (value, tokenizer)
        needs = wanted
    }
    let shared = try world.gatherAll([UInt64(needs.sequenceLength ?? 0), UInt64(needs.sequenceCount)])[0]
    needs = RunNeeds(sequenceLength: shared[0] == 0 ? nil : Int(shared[0]), sequenceCount: Int(shared[1]))
    let memories = try world.gatherAll([UInt64(arguments.memoryLimit ?? host.memory)]).map { Int($0[0]) }

    let context = try ParallelContext(plan: plan, layerCount: model.decoder.layers.count, world: world)
    let pool = WorkerPool(count: threads, processors: arguments.pinsThreads ? host.processors : [])
    let loader = DecoderLoader(
        configuration: model.decoder, source: model.weights, options: try arguments.weights.weightOptions(),
        context: context,
        pool: pool,
        rotaryType: arguments.rotaryType(of: model))
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

/// Ranks must run the same program on the same model; the weakest processor decides the kernels.
private func agreeOnKernels(
    _ arguments: ModelArguments, model: OpenedModel, world: any Communicator, logger: Logger,
    agreed: (() throws -> KernelTable) throws -> KernelTable
) throws -> KernelTable {
    let mine = try agreed {
        if let name = arguments.kernels, !KernelTable.all.contains(where: { $0.table.name == name }) {
            throw RunError(
                .usage,
                "--kernels must be one of \(KernelTable.all.map(\.table.name).joined(separator: ", ")), not '\(name)'")
        }
        guard let table = KernelTable.select(arguments.kernels) else {
            throw RunError(
                .badInput,
                "this processor cannot run the \(arguments.kernels ?? "") kernels; it runs \(KernelTable.supported.map(\.name).joined(separator: ", "))"
            )
        }
        return table
    }
    let version = triremeVersion.utf8.reduce(UInt64(1)) { $0 &* 131 &+ UInt64($1) }
    let architecture: UInt64 = KernelTable.all.reduce(7) { $1.table.name.utf8.reduce($0) { $0 &* 131 &+ UInt64($1) } }
    let all = try world.gatherAll([version, model.weights.digest, architecture, UInt64(mine.level)])
    return try agreed {
        for (index, what) in ["program's version", "model (config.json or weight files)", "processor's architecture"]
            .enumerated()
        {
            guard let other = all.indices.first(where: { all[$0][index] != all[0][index] }) else { continue }
            throw RunError(.badInput, "rank \(other) and rank 0 differ in the \(what); install the same on every host")
        }
        let lowest = all.map { $0[3] }.min() ?? 0
        guard lowest < UInt64(mine.level),
            let table = KernelTable.all.first(where: { $0.table.level == Int(lowest) })?.table
        else {
            return mine
        }
        logger.warning("kernels \(table.name) instead of \(mine.name): a rank's processor runs no better ones")
        return table
    }
}

private func threadCount(_ arguments: ModelArguments, host: HostShare, logger: Logger) throws -> Int {
    let count = arguments.threadCount ?? max(1, host.processors.count)
    // Workers that wait in turn for a processor make no headway: a mistake rather than a wish.
    let most = 8 * max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    guard count <= most else {
        throw RunError(.usage, "--threads \(count) is far more than this host's processors; use at most \(most)")
    }
    if host.isBoundTightly {
        logger.warning(
            "the launcher binds this rank to one processor though the host has more; start it with --bind-to none, as Launch/local.sh does"
        )
    } else if count > max(1, host.processors.count) {
        logger.warning(
            "\(count) threads on \(max(1, host.processors.count)) processor(s): threads will wait for each other")
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
    complain("rank \(rank), step \(step):\n  layer operation             shape                 bytes      time (us)")
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
        if ends.isEmpty, let end = tokenizer?.endOfText { ends.insert(end.rawValue) }
        return Generator(engine: engine, tokenizer: tokenizer, endTokens: ends)
    }

    /// Whether the user or the launcher wants the run to end.
    public var isInterrupted: Bool { InterruptFlag.isRaised }
}

extension OpenedModel {
    /// A prompt's token ids, with what the model wants around a text unless it continues one.
    ///
    /// - Parameter source: where the text stands, for messages.
    public func encode(
        _ text: [UInt8], from source: String, tokenizer: Tokenizer?, isContinuation: Bool = false
    ) throws -> [Int32] {
        guard let tokenizer else {
            throw RunError(.missingInput, "\(name) has no tokenizer.json: give --prompt-token-ids instead of text")
        }
        let tokens: [Int32]
        do {
            tokens = try tokenizer.encode(utf8: text, special: isContinuation ? .off : .on).map(\.rawValue)
        } catch {
            throw RunError(.badInput, "\(source): \(error)")
        }
        if let bad = tokens.first(where: { Int($0) >= decoder.vocabularySize }) {
            throw RunError(
                .badInput,
                "the tokenizer of \(name) gives token \(bad), but the model has only \(decoder.vocabularySize); they do not belong together"
            )
        }
        return tokens
    }
}

extension ModelArguments {
    /// The longest sequence allowed, by the option or by the model.
    public func lengthLimit(of model: OpenedModel) throws -> Int {
        try RunPlan.lengthLimit(of: model, arguments: self)
    }
}

import Architectures
import Collectives
import Engine
import JobWatch
import Kernels
import Layers
import Logging
import MPICollectives
import ModelOptions
import Models
import ProgramEntry
import Tensors
import Topology

/// The error that the user or the launcher ended the job before the model was ready.
struct LoadingInterrupted: JobError, CustomStringConvertible {
    var description: String { "loading was interrupted" }
}

/// The phases of a run on one rank, from the options to the report; every rank goes through the same phases.
///
/// A phase that can fail on one rank alone ends with an agreement, so that all ranks end together with one message.
struct RankJob {
    let arguments: ModelArguments
    let world: any Communicator
    let heartbeat: Heartbeat
    let logger: Logger
    let recorder: TraceRecorder
    private let start = ContinuousClock.now

    /// Makes the logger, and tells the heartbeat that this rank loads.
    init(_ arguments: ModelArguments, _ world: any Communicator, _ heartbeat: Heartbeat) throws {
        self.arguments = arguments
        self.world = world
        self.heartbeat = heartbeat
        logger = try agree(on: world, status: { ExitStatus($0).rawValue }) {
            try Logger(rank: world.rank, level: arguments.logLevel)
        }
        recorder = TraceRecorder(arguments.tracing, over: world)
        heartbeat.activity.enter(.loading)
    }

    private func agreed<Value>(_ body: () throws -> Value) throws -> Value {
        try agree(on: world, status: { ExitStatus($0).rawValue }) {
            do {
                return try body()
            } catch is CancellationError {
                throw LoadingInterrupted()
            }
        }
    }

    /// The model as this rank has opened it, and the plan by which ranks share it.
    struct Opened {
        let model: OpenedModel
        let plan: ParallelPlan
    }

    /// Opens the model, and checks that the plan fits it and that all ranks have the same model, plan and options.
    func open() throws -> Opened {
        let opened = try agreed {
            let model = try OpenedModel(named: arguments.model, seed: arguments.weightSeed)
            let plan = try arguments.plan(rankCount: world.size)
            try plan.validate(for: model.decoder, rankCount: world.size, names: model.names)
            return Opened(model: model, plan: plan)
        }
        if world.rank == 0 { for warning in opened.model.warnings { logger.warning("\(warning)") } }
        try requireSameRun(arguments, model: opened.model, plan: opened.plan, over: world)
        return opened
    }

    /// The kernels, and this rank's share of its host.
    struct Resources {
        let kernels: KernelTable
        let host: HostShare
        let threadCount: Int
        /// The bytes of memory that each rank may use.
        let memories: [Int]
    }

    /// Agrees on kernels, and finds this rank's share of its host.
    func resources() throws -> Resources {
        let kernels = try agreeOnKernels(arguments, world: world, logger: logger)
        let host = try HostShare(over: world)
        let threadCount = try agreed { try host.threadCount(arguments.threadCount, logger: logger) }
        let memories = try world.gatherAll([UInt64(arguments.memoryLimit ?? host.memory)]).map { Int($0[0]) }
        return Resources(kernels: kernels, host: host, threadCount: threadCount, memories: memories)
    }

    /// The input that rank 0 has read, and the needs for which all ranks plan the run.
    struct Prepared<Value> {
        /// The input; nil on ranks other than 0.
        let input: (value: Value, tokenizer: ModelTokenizer)?
        let needs: RunNeeds
    }

    /// Reads the prompts on rank 0, and tells the other ranks how long they are.
    func prepare<Value>(
        _ opened: Opened, _ prepare: (OpenedModel, ModelTokenizer) throws -> (Value, RunNeeds)
    ) throws -> Prepared<Value> {
        var input: (value: Value, tokenizer: ModelTokenizer)?
        var needs = RunNeeds(sequenceLength: nil, sequenceCount: 1)
        try agreed {
            guard world.rank == 0 else { return }
            let tokenizer = ModelTokenizer(of: opened.model)
            try recorder.begin()
            let (value, wanted) = try prepare(opened.model, tokenizer)
            if let reason = tokenizer.failure { logger.warning("texts are shown as token numbers: \(reason)") }
            for warning in tokenizer.value?.warnings ?? [] { logger.warning("\(warning)") }
            input = (value, tokenizer)
            needs = wanted
        }
        let shared = try world.gatherAll([needs.sequenceLength ?? 0, needs.leastLength, needs.sequenceCount])[0]
        needs = RunNeeds(
            sequenceLength: shared[0] == 0 ? nil : shared[0], leastLength: shared[1], sequenceCount: shared[2])
        return Prepared(input: input, needs: needs)
    }

    /// The model in this rank's memory, ready to take steps.
    struct Loaded {
        let run: RunPlan
        let runner: RankRunner
        let pool: WorkerPool
        let probe: LimitProbe
        let time: Duration
    }

    /// Plans the run, checks that it fits every rank's memory, and loads.
    func load(_ opened: Opened, _ resources: Resources, needs: RunNeeds) throws -> Loaded {
        let (model, host) = (opened.model, resources.host)
        let context = try ParallelContext(plan: opened.plan, layerCount: model.decoder.layers.count, world: world)
        let pool = WorkerPool(
            count: resources.threadCount,
            processors: arguments.pinsThreads && host.quota == nil ? host.processors : [],
            isCrowded: resources.threadCount > host.threadCount)
        let loader = DecoderLoader(
            configuration: model.decoder, source: model.weights, options: try arguments.weights.weightOptions(),
            context: context, pool: pool)
        let progress = ProgressLine(isShown: world.rank == 0)
        let (run, runner) = try agreed {
            let formats = try loader.options.formats(
                of: model.decoder, from: model.weights, shardCount: opened.plan.tensorDegree)
            let run = try RunPlan(
                model, plan: opened.plan, arguments: arguments, needs: needs, formats: formats, rank: world.rank,
                memories: resources.memories)
            let cache = CacheOptions(blockCount: run.cacheBlockCount, type: arguments.weights.cacheType)
            let decoder = try loader.load(cache: cache) { done, total in
                progress.show("loading \(model.name)", done: done, of: total)
            } isCancelled: {
                InterruptFlag.isRaised
            }
            let arena = try Arena(byteCount: run.arenaByteCount)
            arena.touch()
            let runner = RankRunner(
                decoder: decoder, backend: CPUBackend(table: resources.kernels, pool: pool, arena: arena),
                limits: run.limits, cacheBlockCount: run.cacheBlockCount,
                quantizesActivations: arguments.weights.quantizesActivations)
            return (run, runner)
        }
        let time = ContinuousClock.now - start
        logger.info(
            """
            tensor parallel \(opened.plan.tensorDegree), pipeline parallel \(opened.plan.pipelineDegree), \
            \(resources.threadCount) thread(s) a rank, kernels \(resources.kernels.name), \
            \(formattedByteCount(runner.decoder.weightByteCount)) of weights on this rank, loaded in \
            \(time.formattedSeconds) s
            """)
        observe(runner)
        let probe = LimitProbe(kernels: resources.kernels, pool: pool, formats: run.formats, world: world)
        runner.onAside = probe.measure
        return Loaded(run: run, runner: runner, pool: pool, probe: probe, time: time)
    }

    /// Tells the heartbeat what the runner does, and keeps the records of the steps that are traced.
    private func observe(_ runner: RankRunner) {
        runner.onPhase = { phase, step in
            let next: Phase =
                switch phase {
                case .waiting: .waiting
                case .prefill: .prefill
                case .decode: .decode
                }
            heartbeat.activity.enter(next, step: step)
        }
        runner.onTrace = recorder.add
    }

    /// Runs the program's body on rank 0, while the other ranks follow its steps; gives the result on rank 0.
    func takeSteps<Value, Result>(
        _ opened: Opened, _ loaded: Loaded, _ prepared: Prepared<Value>, _ body: (RankSession, Value) throws -> Result
    ) throws -> Result? {
        let (runner, context) = (loaded.runner, loaded.runner.decoder.context)
        // Ranks work in step only from here until `finish`: before, each loads at its own speed, and afterwards rank 0
        // may wait for the reader of its output.
        context.setTimeout(arguments.collectives.operationPatience)
        guard let input = prepared.input else {
            try runner.follow()
            return nil
        }
        let engine = Engine(
            runner: runner, cacheBlockCount: loaded.run.cacheBlockCount, blockLength: CacheStorage.blockLength)
        engine.isTraced = arguments.tracing.isTraced
        let session = RankSession(
            model: opened.model, engine: engine, tokenizer: input.tokenizer, logger: logger, limits: loaded.run.limits,
            formats: loaded.run.formats, recorder: recorder, probe: loaded.probe)
        let result = try body(session, input.value)
        try engine.stop()
        return result
    }

    /// Gathers the memory that the run took on every rank, and reports on rank 0.
    func finish<Result>(
        _ opened: Opened, _ resources: Resources, _ loaded: Loaded, _ result: Result?,
        _ report: (Result, RunReport) throws -> Void
    ) throws -> ExitStatus {
        loaded.runner.decoder.context.setTimeout(nil)
        heartbeat.activity.enter(.finishing)
        let mine = [
            loaded.runner.decoder.weightByteCount, loaded.run.cacheByteCount, loaded.run.activationByteCount,
            HostShare.peakResidentByteCount(),
        ]
        let memory = try world.gatherAll(mine).enumerated().map { rank, values in
            RankMemory(
                rank: rank, weightBytes: values[0], keyValueCacheBytes: values[1], activationBytes: values[2],
                peakResidentBytes: values[3])
        }
        let isInterrupted = try world.gatherAll([InterruptFlag.isRaised ? 1 : 0])[0][0] == 1
        let events = try recorder.gatherEvents()
        try agreed {
            guard let result else { return }
            try report(
                result,
                RunReport(
                    plan: opened.plan, rankCount: world.size, threadCount: resources.threadCount,
                    kernels: resources.kernels.name, loadTime: loaded.time, memory: memory,
                    wasInterrupted: isInterrupted))
            guard let events else { return }
            if events.isEmpty {
                let taken = loaded.runner.stepCount
                logger.warning("--trace-steps: the run took \(taken) step(s), of which none was to be traced")
            }
            try recorder.write(events)
        }
        loaded.pool.stop()
        return isInterrupted ? .interrupted : .done
    }
}

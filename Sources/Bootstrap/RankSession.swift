import Architectures
import Collectives
import Engine
import Generation
import JobWatch
import Logging
import MPICollectives
import ModelOptions
import ProgramEntry
import Tensors
import Topology

/// The model, ready on all ranks, as a program on rank 0 works with it.
public struct RankSession {
    public let model: OpenedModel
    public let engine: Engine
    public let tokenizer: ModelTokenizer
    public let logger: Logger
    public let limits: StepLimits
    /// The format in which each matrix is packed.
    public let formats: [ParameterName: ComputeFormat]
    /// The steps of rank 0 that were traced.
    public let recorder: TraceRecorder
    let probe: LimitProbe
}

/// A finished run's plan, and the time and memory that it took.
public struct RunReport: Sendable {
    public let plan: ParallelPlan
    public let rankCount: Int
    public let threadCount: Int
    public let kernels: String
    public let loadTime: Duration
    /// The memory of each rank.
    public let memory: [RankMemory]
    public let wasInterrupted: Bool
}

/// The bytes of memory that one rank used.
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

/// Runs a program over all ranks, and ends the process.
///
/// This is the only place where MPI, kernels, plan, logging and model meet.
///
/// - Parameters:
///   - prepare: reads the input and says what the run must be planned for; called on rank 0, before weights are read.
///   - body: the program; called on rank 0, when the model is loaded on all ranks.
///   - report: reports the results; called on rank 0, after the last step.
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
                let job = try RankJob(arguments, world, heartbeat)
                let opened = try job.open()
                let resources = try job.resources()
                let prepared = try job.prepare(opened, prepare)
                let loaded = try job.load(opened, resources, needs: prepared.needs)
                let result = try job.takeSteps(opened, loaded, prepared, body)
                return try job.finish(opened, resources, loaded, result, report)
            }
        },
        exitStatus: { ExitStatus($0).rawValue },
        report: { complain("trireme: \($0)") })
    endProgram(status: status.rawValue)
}

extension RankSession {
    /// Makes a generator that uses this session's engine and tokenizer.
    public func makeGenerator() -> Generator {
        var ends = Set(model.endTokens.map { Int32($0) })
        if ends.isEmpty, let end = tokenizer.value?.endOfText { ends.insert(end.rawValue) }
        return Generator(engine: engine, tokenizer: tokenizer.value, endTokens: ends)
    }

    /// Measures the limits of the hardware on all ranks at once: the bytes read per second, and the operations in the
    /// layers' format per second.
    public func measureLimits() throws -> [Double] {
        try engine.runAside()
        return probe.sums
    }

    /// Whether the user or the launcher wants the run to end.
    public var isInterrupted: Bool { InterruptFlag.isRaised }
}

extension ModelArguments {
    /// Gives the length of the longest sequence that the option allows, or the model if the option does not limit it.
    public func lengthLimit(of model: OpenedModel) throws -> Int {
        try RunPlan.lengthLimit(of: model, arguments: self)
    }
}

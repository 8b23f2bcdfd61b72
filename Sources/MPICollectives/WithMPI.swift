import CMPI
import CProcess
import Collectives
import Glibc
import JobWatch

/// Runs `body` between MPI's start and its end, and ends the process itself if that fails.
///
/// Without a launcher the program is rank 0 of 1: MPI is not started at all (that takes time, and fails in some
/// sandboxes), and `body` gets a `SoloCommunicator`.
///
/// An error ends the whole job with the status that `exitStatus` gives. An `AgreedError` is known to every rank: rank 0
/// reports it and all end in an orderly way. Any other is reported by the rank that threw it, unless another rank has
/// said already why the job ends, and aborts the job: the others may be waiting for it. It never tries to end MPI while
/// an error is in flight; that hangs. A rank that is lost while MPI starts or ends is named too (`StartWatch`).
///
/// - Parameters:
///   - options: how collectives work.
///   - body: the program; it receives the group of all ranks.
///   - exitStatus: the exit status that an error calls for.
///   - report: called once with what an error that ends the job says, where there are several ranks with rank and host,
///     to print it.
/// - Returns: what `body` returned.
public func withMPI<Result>(
    _ options: CollectiveOptions = CollectiveOptions(), _ body: (any Communicator) throws -> Result,
    exitStatus: (any Error) -> Int32,
    report: (String) -> Void
) -> Result {
    let patience = options.timeout ?? .seconds(60)
    do {
        let result = try run(options, patience, body)
        // Rank 0 has printed what there is to say.
        if MPIRuntime.worldRank == 0 { cprocess_remove_note() }
        try MPIRuntime.finish(patience: patience)
        return result
    } catch let agreed as AgreedError {
        if !cprocess_claim_agreed_words(agreed.status) {
            usleep(200_000)
        } else if agreed.groupSize == 1 || MPIRuntime.worldRank == 0 {
            report("\(agreed)")
        }
        try? MPIRuntime.finish(patience: patience)
        exit(agreed.status)
    } catch {
        let status = exitStatus(error)
        if cprocess_claim_last_words(status) {
            report(MPIRuntime.isAlone ? "\(error)" : "rank \(cprocess_rank()) on \(hostName()): \(error)")
        } else {
            // Whoever speaks shall have spoken before the launcher ends us all.
            usleep(200_000)
        }
        cmpi_abort(status)
        exit(status)
    }
}

/// What carries the operations of all ranks.
public enum Backend: String, CaseIterable, Sendable {
    /// The fastest: shared memory inside a host, messages between hosts.
    case auto
    /// Shared memory; all ranks must run on one host.
    case shm
    /// Shared memory inside each host, messages between hosts.
    case hierarchical
    /// Our collectives over MPI's messages.
    case messages
    /// The MPI library's own collectives, for comparison: no order of addition is promised.
    case mpi

    /// What carries a group's operations; nil for a group that is none of these.
    public init?(of group: any Communicator) {
        switch group {
        case is SharedMemoryCommunicator: self = .shm
        case is HierarchicalCommunicator: self = .hierarchical
        case let group as any WrappedCommunicator where !(group is LibraryCommunicator): self.init(of: group.inner)
        case is MPICommunicator: self = .messages
        case is LibraryCommunicator: self = .mpi
        default: return nil
        }
    }
}

/// A scope of its own, so that every communicator is gone before MPI ends.
private func run<Result>(
    _ options: CollectiveOptions, _ patience: Duration, _ body: (any Communicator) throws -> Result
) throws -> Result {
    if MPIRuntime.isLaunched {
        InterruptFlag.install()
        try StartWatch.begin(.starting, patience: patience)
    }
    return try body(try MPIRuntime.start(options))
}

/// The MPI library of this process.
package enum MPIRuntime {
    /// Whether a launcher has started this process as one of several ranks.
    package static var isLaunched: Bool { cprocess_rank() >= 0 }

    /// Whether it is the only rank.
    static var isAlone: Bool { cprocess_size() == 1 }

    /// Starts MPI if a launcher has started this process, and gives the group of all ranks.
    package static func start(_ options: CollectiveOptions) throws -> any Communicator {
        guard isLaunched else { return SoloCommunicator() }
        let all = try world()
        all.timeout = options.timeout
        if all.size > 1 {
            // Builds first: another one may have other facts.
            try all.requireSame([
                SharedFact("the program's build", digest: programDigest(), remedy: "install the same on every host")
            ])
            try all.requireSame(options.facts)
        }
        try all.learnHosts()
        let world = try all.orderedByHost()
        guard options.backend != .mpi else { return LibraryCommunicator(world) }
        guard world.size > 1 else { return world }
        world.limits.sharesMemory = options.backend != .messages
        try world.compareClocks()
        world.limits.tuning = try tuning(options, of: world)
        let group = try world.fastest(wireType: options.wireType)
        try agree(on: world, status: { _ in 64 }) {
            if [.shm, .hierarchical].contains(options.backend), let found = Backend(of: group), found != options.backend
            {
                throw BackendMismatch(asked: options.backend, found: found)
            }
        }
        group.timeout = nil
        return group
    }

    private static func tuning(_ options: CollectiveOptions, of world: MPICommunicator) throws -> AllReduceTuning {
        let sizes = world.limits.hosts?.sizes(of: Array(0..<world.size)) ?? []
        let saved = try agree(on: world, status: { _ in 65 }) {
            let saved = world.rank == 0 ? try options.savedTuning?() : nil
            guard let saved, saved.hosts != sizes else { return saved }
            throw OtherHosts(found: saved.hosts, expected: sizes)
        }
        let isSaved = try world.gatherAll([saved != nil])[0][0]
        guard !isSaved else { return try world.agreed(on: saved ?? AllReduceTuning()) }
        var measured = try world.measuredTuning()
        measured.hosts = sizes
        try agree(on: world, status: { _ in 65 }) {
            if world.rank == 0 { try options.saveTuning?(measured) }
        }
        return measured
    }

    private struct BackendMismatch: Error, CustomStringConvertible {
        let asked: Backend
        let found: Backend

        var description: String {
            "--backend \(asked.rawValue) does not suit these ranks and hosts: they can use \(found.rawValue)"
        }
    }

    private struct OtherHosts: Error, CustomStringConvertible {
        let found: [Int]
        let expected: [Int]

        var description: String {
            "--all-reduce-tuning: the sizes were measured on hosts of \(found) ranks, not of \(expected); name another file"
        }
    }

    /// The group of all ranks; starts MPI if it has not been started.
    package static func world() throws(CommunicationError) -> MPICommunicator {
        if cmpi_was_started() == 0 {
            try check(cmpi_init(), "MPI_Init_thread")
            // The library, and those that it loads, catch some signals to print stack traces.
            cprocess_restore()
        }
        return try MPICommunicator(handle: cmpi_world(), owned: false)
    }

    /// This rank's number among all; 0 when MPI does not run.
    package static var worldRank: Int {
        var rank: Int32 = 0
        guard cmpi_is_running() == 1, cmpi_rank(cmpi_world(), &rank) == 0 else { return 0 }
        return Int(rank)
    }

    /// Ends MPI if it runs, watched: a rank that is lost meanwhile is named after `patience`.
    static func finish(patience: Duration) throws(CommunicationError) {
        guard cmpi_is_running() == 1 else { return }
        try StartWatch.begin(.ending, patience: patience)
        try check(cmpi_finalize(), "MPI_Finalize")
        StartWatch.end()
    }

    /// Ends MPI if it runs; for programs that do not use `withMPI`, such as a test bundle at its exit.
    package static func finish() {
        if cmpi_is_running() == 1 { _ = cmpi_finalize() }
    }
}

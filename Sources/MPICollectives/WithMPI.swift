import CMPI
import CProcess
import Collectives
import Glibc
import JobWatch

/// Runs `body` between MPI's start and its end, and ends the process if anything fails.
///
/// Without a launcher the program is rank 0 of 1. Then MPI is not started, because that takes time and fails in some
/// sandboxes, and `body` gets a `SoloCommunicator`.
///
/// An error ends the whole job with the status that `exitStatus` gives. Every rank knows an `AgreedError`: rank 0
/// reports it, and all end in an orderly way. The rank that throws any other error reports it, unless another rank has
/// already said why the job ends, and aborts the job, because the others may be waiting for it. MPI is never ended
/// while an error is in flight: that hangs. A rank that is lost while MPI starts or ends is named too (`StartWatch`).
///
/// - Parameters:
///   - options: how collectives work.
///   - body: the program; it receives the group of all ranks.
///   - exitStatus: gives the exit status that an error calls for.
///   - report: prints a message; it is called once, with the description of the error that ends the job. If there are
///     several ranks, rank and host stand in front.
/// - Returns: what `body` returned.
public func withMPI<Result>(
    _ options: CollectiveOptions = CollectiveOptions(), _ body: (any Communicator) throws -> Result,
    exitStatus: (any Error) -> Int32,
    report: (String) -> Void
) -> Result {
    let patience = options.timeout ?? .seconds(60)
    do {
        let result = try run(options, patience, body)
        // The job ends well, so the launcher has nothing to say.
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
            // The rank that speaks needs time before the launcher ends all ranks.
            usleep(200_000)
        }
        cmpi_abort(status)
        exit(status)
    }
}

/// What carries the operations over all ranks.
public enum Backend: String, CaseIterable, Sendable {
    /// The fastest of the following: shared memory inside a host, and messages between hosts.
    case auto
    /// Shared memory, for ranks that all run on one host.
    case shm
    /// Shared memory inside each host, and messages between hosts.
    case hierarchical
    /// Our own collectives over MPI's messages.
    case messages
    /// The MPI library's own collectives, for comparison; they promise no order of addition.
    case mpi

    /// Tells what carries a group's operations; nil if it is none of these.
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

/// Starts MPI and runs `body` in a scope of its own, so that every communicator is freed before MPI ends.
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
            // Builds are compared first, because another build may have other facts.
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

    /// Gives the group of all ranks, after it has started MPI if need be.
    package static func world() throws(CommunicationError) -> MPICommunicator {
        if cmpi_was_started() == 0 {
            try check(cmpi_init(), "MPI_Init_thread")
            // The MPI library, and libraries that it loads, catch some signals to print stack traces.
            cprocess_restore()
        }
        return try MPICommunicator(handle: cmpi_world(), owned: false)
    }

    /// This rank's number in MPI's group of all ranks; 0 when MPI does not run.
    package static var worldRank: Int {
        var rank: Int32 = 0
        guard cmpi_is_running() == 1, cmpi_rank(cmpi_world(), &rank) == 0 else { return 0 }
        return Int(rank)
    }

    /// Ends MPI if it runs, and watches meanwhile: a rank that is lost is named after `patience`.
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

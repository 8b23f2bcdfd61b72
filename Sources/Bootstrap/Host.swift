import Collectives
import Foundation
import Glibc
import Hashing
import Kernels
import Logging
import ProgramEntry

/// A rank's share of the processors and the memory of its host, which all ranks there share equally.
public struct HostShare {
    /// The processors for this rank's workers, in the order of `ProcessorLayout`; empty if this rank has no processors of
    /// its own.
    public let processors: [Int]
    /// The number of threads that can run at a time: the number of processors, or the control group's quota if that is
    /// less.
    public let threadCount: Int
    /// This rank's share of its control group's quota, in processors; nil if it is not less than the number of them.
    public let quota: Double?
    /// The bytes of memory that this rank may use.
    public let memory: Int
    /// Whether the launcher bound this rank to fewer processors than the host has to give.
    public let isBoundTightly: Bool

    private static let maskWords = 16

    /// Finds this rank's share; every rank of `world` must call it.
    public init(over world: any Communicator) throws(CommunicationError) {
        let allowed = allowedProcessors()
        let groups = ControlGroups()
        var mine = [UInt64](repeating: 0, count: Self.maskWords + 2)
        mine[0] = WordHash(of: hostName()).value
        mine[1] = WordHash(of: groups.name).value
        for processor in allowed where processor < Self.maskWords * 64 {
            mine[2 + processor / 64] |= 1 << UInt64(processor % 64)
        }
        let all = try world.gatherAll(mine)
        let neighbours = (0..<world.size).filter { all[$0][0] == mine[0] }
        // Ranks with the same mask share its processors. A rank that no other shares its mask with gets all of them.
        let sharers = neighbours.filter { all[$0].dropFirst(2) == mine.dropFirst(2) }
        let place = sharers.firstIndex(of: world.rank) ?? 0
        let count = sharers.count
        let own = ProcessorLayout().share(place, of: count, allowed: allowed)
        // Ranks in the same control group share its quota.
        let share = groups.processorQuota.map { quota in
            quota / Double(neighbours.filter { all[$0][1] == mine[1] }.count)
        }
        let limit = share.flatMap { $0 < Double(max(1, own.count)) ? $0 : nil }
        processors = own
        quota = limit
        threadCount = max(1, limit.map { Int($0) } ?? own.count)
        let available = (ControlGroups.number(after: "MemAvailable", in: "/proc/meminfo") ?? 0) * 1024
        memory = min(available, groups.availableMemory ?? available) / max(1, neighbours.count)
        let online = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        isBoundTightly = allowed.count == 1 && online / neighbours.count > 1
    }

    /// The most memory that this process has had resident, in bytes.
    static func peakResidentByteCount() -> Int {
        (ControlGroups.number(after: "VmHWM", in: "/proc/self/status") ?? 0) * 1024
    }
}

extension HostShare {
    /// Gives the number of this rank's worker threads: the number asked for, or its share of the host's processors.
    ///
    /// - Throws: `RunError` if far more threads than processors are asked for.
    func threadCount(_ wanted: Int?, logger: Logger) throws -> Int {
        let count = wanted ?? threadCount
        // So many workers make no progress, because each waits for a processor; the user has made a mistake.
        let most = 8 * max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        guard count <= most else {
            throw RunError(.usage, "--threads \(count) is far more than this host's processors; use at most \(most)")
        }
        if isBoundTightly {
            logger.warning(
                "the launcher binds this rank to one processor though the host has more; start it with --bind-to none, as Launch/local.sh does"
            )
        } else if count > threadCount {
            let given = quota.map { "the \($0) processors that the control group gives" }
            logger.warning(
                "\(count) threads on \(given ?? "\(threadCount) processor(s)"): threads will wait for each other")
        }
        return count
    }
}

import Collectives
import Foundation
import Glibc
import Kernels

/// What a rank may use of its host: processors and memory, shared fairly with the other ranks there.
public struct HostShare {
    /// Processors for this rank's workers, in order; empty if none is its own.
    public let processors: [Int]
    /// Bytes that this rank may use.
    public let memory: Int
    /// Whether the launcher bound this rank to fewer processors than the host has to give.
    public let isBoundTightly: Bool

    private static let maskWords = 16

    /// Every rank of `world` must call it.
    public init(over world: any Communicator) throws(CommunicationError) {
        let allowed = allowedProcessors()
        var mine = [UInt64](repeating: 0, count: Self.maskWords + 1)
        mine[0] = hostName().utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        for processor in allowed where processor < Self.maskWords * 64 {
            mine[1 + processor / 64] |= 1 << UInt64(processor % 64)
        }
        let all = try world.gatherAll(mine)
        let neighbours = (0..<world.size).filter { all[$0][0] == mine[0] }
        // Ranks with the same mask share its processors; a mask of one's own is one's own.
        let sharers = neighbours.filter { all[$0] == mine }
        let place = sharers.firstIndex(of: world.rank) ?? 0
        let count = sharers.count
        processors =
            allowed.count >= count
            ? Array(allowed[allowed.count * place / count..<allowed.count * (place + 1) / count]) : []
        memory = Self.availableMemory() / max(1, neighbours.count)
        let online = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        isBoundTightly = allowed.count == 1 && online / neighbours.count > 1
    }

    /// What the kernel says can be had without swapping, or what the control group's limits leave if that is less.
    private static func availableMemory() -> Int {
        func number(_ key: String, in path: String) -> Int? {
            guard let data = FileManager.default.contents(atPath: path) else { return nil }
            let line = String(decoding: data, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(key) }
            return line.flatMap { Int($0.drop { !$0.isNumber }.prefix { $0.isNumber }) }
        }
        func bytes(in path: String) -> Int? {
            FileManager.default.contents(atPath: path).flatMap {
                Int(String(decoding: $0, as: UTF8.self).filter { $0.isNumber })
            }
        }
        var least = (number("MemAvailable", in: "/proc/meminfo") ?? 0) * 1024
        guard let groups = FileManager.default.contents(atPath: "/proc/self/cgroup") else { return least }
        for line in String(decoding: groups, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3, let tree = controlGroups.first(where: { $0.controller == fields[1] }) else {
                continue
            }
            // A group's own limit may be its parent's, or that of any above.
            var directory = tree.root + fields[2]
            while directory.hasPrefix(tree.root) {
                if let limit = bytes(in: "\(directory)/\(tree.limit)"),
                    let used = bytes(in: "\(directory)/\(tree.used)")
                {
                    // Pages of files that were not read lately are given back when memory is asked for.
                    let spare = (number(tree.cache, in: "\(directory)/memory.stat") ?? 0)
                    least = min(least, max(0, limit - used + spare))
                }
                directory = (directory as NSString).deletingLastPathComponent
            }
        }
        return least
    }

    /// Where version 2 of control groups, and version 1, say what memory a group may have and has.
    private static let controlGroups: [(controller: String, root: String, limit: String, used: String, cache: String)] =
        [
            ("", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
            (
                "memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                "total_inactive_file"
            ),
        ]

    /// The most memory that this process has had resident, in bytes.
    static func peakResidentByteCount() -> Int {
        guard let data = FileManager.default.contents(atPath: "/proc/self/status") else { return 0 }
        let line = String(decoding: data, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("VmHWM") }
        return (line.flatMap { Int($0.drop { !$0.isNumber }.prefix { $0.isNumber }) } ?? 0) * 1024
    }
}

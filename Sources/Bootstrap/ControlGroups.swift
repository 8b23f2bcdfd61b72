import Foundation

/// The limits that the control groups of this process set on its memory and processor time.
///
/// Containers and batch systems set these limits; the kernel's list of processors does not show them. Both versions of
/// control groups are read (Linux, Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst).
struct ControlGroups {
    /// A tree of control groups, by what it limits.
    private enum Tree: String, CaseIterable {
        /// Version 2, which has one tree for all controllers.
        case unified = ""
        case memory
        case processors = "cpu"

        /// The path at which the tree is mounted, below the root of all trees.
        var mount: String { self == .unified ? "" : "/\(rawValue)" }
    }

    /// The folders of the groups that this process is in: in each tree its own group, then the groups above it.
    private let folders: [(tree: Tree, path: String)]
    /// A text that is the same for two processes only if they are in the same groups.
    let name: String

    /// - Parameters:
    ///   - list: what `/proc/self/cgroup` holds.
    ///   - root: where control groups are mounted.
    init(
        list: String = ControlGroups.text(in: "/proc/self/cgroup") ?? "", root: String = "/sys/fs/cgroup"
    ) {
        var folders: [(Tree, String)] = []
        for line in list.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            // Controllers may share a tree and are listed in any order; such a tree has a link for each of them.
            let controllers = fields[1].split(separator: ",", omittingEmptySubsequences: false)
            guard let tree = Tree.allCases.first(where: { controllers.contains(Substring($0.rawValue)) }) else {
                continue
            }
            let top = root + tree.mount
            // Every group above this one may have a limit that is tighter.
            var folder = fields[2] == "/" ? top : top + fields[2]
            while folder.hasPrefix(top) {
                folders.append((tree, folder))
                folder = (folder as NSString).deletingLastPathComponent
            }
        }
        self.folders = folders
        name = list
    }

    /// The bytes that the tightest limit leaves; nil if there is no limit.
    var availableMemory: Int? {
        folders.compactMap { tree, path -> Int? in
            let file: (limit: String, used: String, cache: String)
            switch tree {
            case .unified: file = ("memory.max", "memory.current", "inactive_file")
            case .memory: file = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            case .processors: return nil
            }
            guard let limit = Self.number(in: "\(path)/\(file.limit)"),
                let used = Self.number(in: "\(path)/\(file.used)")
            else { return nil }
            // The kernel gives up cached pages of files that were not read lately when memory is needed.
            let spare = Self.number(after: file.cache, in: "\(path)/memory.stat") ?? 0
            return max(0, limit - used + spare)
        }.min()
    }

    /// The time of processors that the tightest quota gives, such as 1.5 processors; nil if there is no quota.
    var processorQuota: Double? {
        folders.compactMap { tree, path -> Double? in
            let (quota, period): (Int?, Int?)
            switch tree {
            case .memory: return nil
            case .unified:
                // The file holds "max 100000" or "150000 100000".
                let fields = (Self.text(in: "\(path)/cpu.max") ?? "").split(whereSeparator: \.isWhitespace)
                (quota, period) = (fields.first.flatMap { Int($0) }, fields.last.flatMap { Int($0) })
            case .processors:
                quota = Self.number(in: "\(path)/cpu.cfs_quota_us")
                period = Self.number(in: "\(path)/cpu.cfs_period_us")
            }
            // In version 1, -1 means that there is no quota.
            guard let quota, let period, quota > 0, period > 0 else { return nil }
            return Double(quota) / Double(period)
        }.min()
    }

    static func text(in path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func number(in path: String) -> Int? {
        text(in: path).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
    }

    /// Gives the number on that line of a file that begins with `key`.
    static func number(after key: String, in path: String) -> Int? {
        let line = text(in: path)?.split(separator: "\n").first { $0.hasPrefix(key) }
        return line.flatMap { Int($0.drop { !$0.isNumber }.prefix { $0.isNumber }) }
    }
}

import Foundation
import TestSupport
import Testing

@testable import Bootstrap

/// Limits of containers, read from files like those of the kernel.
@Suite struct ControlGroupsTests {
    private func groups(_ list: String, _ files: [String: String]) throws -> (TemporaryFolder, ControlGroups) {
        let folder = try TemporaryFolder()
        for (path, text) in files {
            let url = URL(filePath: "\(folder.path)/\(path)")
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: url)
        }
        return (folder, ControlGroups(list: list, root: folder.path))
    }

    @Test func versionTwo() throws {
        let (folder, groups) = try groups(
            "0::/pod/box\n",
            [
                "pod/cpu.max": "150000 100000\n", "pod/box/cpu.max": "max 100000\n",
                "pod/box/memory.max": "max\n", "pod/memory.max": "1000\n", "pod/memory.current": "700\n",
                "pod/memory.stat": "anon 5\ninactive_file 40\n",
            ])
        #expect(groups.processorQuota == 1.5 && groups.availableMemory == 340)
        withExtendedLifetime(folder) {}
    }

    @Test(arguments: ["cpu", "cpu,cpuacct", "cpuacct,cpu"]) func versionOne(controller: String) throws {
        let (folder, groups) = try groups(
            "4:memory:/a\n1:\(controller):/a/b\n0::/\n",
            [
                "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n",
                "cpu/a/cpu.cfs_quota_us": "300000\n", "cpu/a/cpu.cfs_period_us": "100000\n",
                "cpu/a/b/cpu.cfs_quota_us": "50000\n", "cpu/a/b/cpu.cfs_period_us": "25000\n",
                "memory/a/memory.limit_in_bytes": "4096\n", "memory/a/memory.usage_in_bytes": "5000\n",
            ])
        #expect(groups.processorQuota == 2 && groups.availableMemory == 0)
        withExtendedLifetime(folder) {}
    }

    @Test func noLimitIsNone() throws {
        let (folder, groups) = try groups(
            "0::/\n", ["cpu.max": "max 100000\n", "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"])
        #expect(groups.processorQuota == nil && groups.availableMemory == nil)
        withExtendedLifetime(folder) {}
    }
}

import Foundation
import TestSupport
import Testing

@testable import Bootstrap

/// The choice of processors and of the number of ranks, on the layouts of some machines.
@Suite struct ProcessorLayoutTests {
    /// A machine as `lscpu` describes it.
    struct Machine: CustomTestStringConvertible, Sendable {
        let testDescription: String
        /// The processors of each node.
        let nodes: [String]
        /// The package and the core of a processor.
        let place: @Sendable (Int) -> (package: Int, core: Int)

        var processors: [[Int]] {
            nodes.map { list in
                list.split(separator: ",").flatMap { range -> [Int] in
                    let ends = range.split(separator: "-").compactMap { Int($0) }
                    return Array(ends[0]...ends[ends.count - 1])
                }
            }
        }

        /// Writes the files of the machine's /sys/devices/system.
        func write(to root: String) throws {
            func put(_ text: String, _ path: String) throws {
                let url = URL(fileURLWithPath: "\(root)/\(path)")
                try FileManager.default.createDirectory(
                    at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data("\(text)\n".utf8).write(to: url)
            }
            for (node, list) in nodes.enumerated() { try put(list, "node/node\(node)/cpulist") }
            for processor in processors.joined() {
                let (package, core) = place(processor)
                try put("\(package)", "cpu/cpu\(processor)/topology/physical_package_id")
                try put("\(core)", "cpu/cpu\(processor)/topology/core_id")
            }
            // Other folders lie beside these.
            try put("1", "cpu/cpufreq/boost")
            try put("0-\(nodes.count - 1)", "node/online")
        }
    }

    static let machines = [
        Machine(testDescription: "virtual machine of 16 cores", nodes: ["0-15"]) { (0, $0) },
        Machine(
            testDescription: "2 x Xeon Silver 4210, numbered in turn",
            nodes: [0, 1].map { node in (0..<20).map { "\(2 * $0 + node)" }.joined(separator: ",") }
        ) { ($0 % 2, [0, 1, 2, 3, 4, 8, 9, 10, 11, 12][$0 / 2 % 10]) },
        Machine(
            testDescription: "EPYC 7551P, four dies",
            nodes: (0..<4).map { "\(8 * $0)-\(8 * $0 + 7),\(32 + 8 * $0)-\(39 + 8 * $0)" }
        ) { (0, $0 % 32) },
        Machine(
            testDescription: "2 x EPYC 7742, four nodes each",
            nodes: (0..<8).map { "\(16 * $0)-\(16 * $0 + 15),\(128 + 16 * $0)-\(143 + 16 * $0)" }
        ) { ($0 % 128 / 64, $0 % 64) },
    ]

    @Test(arguments: machines) func ranksHaveWholeCoresNearOneNode(machine: Machine) throws {
        let folder = try TemporaryFolder()
        try machine.write(to: folder.path)
        let layout = ProcessorLayout(root: folder.path)
        let all = machine.processors.flatMap { $0 }.sorted()
        let coreCount = Set(all.map { "\(machine.place($0))" }).count
        for count in [1, 2, 3, 4, 5, 8, 16, 20, 32, 64, 128] where count <= all.count {
            let shares = (0..<count).map { layout.share($0, of: count, allowed: all) }
            #expect(shares.joined().sorted() == all, "every processor belongs to one of \(count) ranks")
            let sizes = shares.map(\.count)
            // Ranks differ by one core of two processors at most.
            #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 2 && sizes.allSatisfy { $0 > 0 }, "\(sizes)")
            let cores = shares.map { Set($0.map { "\(machine.place($0))" }) }
            if count <= coreCount { #expect(Set(cores.joined()).count == cores.reduce(0) { $0 + $1.count }) }
            guard count % machine.nodes.count == 0 else { continue }
            for share in shares {
                #expect(machine.processors.contains { Set($0).isSuperset(of: share) }, "\(share) is on one node")
            }
        }
        #expect(layout.share(0, of: all.count + 1, allowed: all) == [])
    }

    @Test func onlyAllowedProcessorsAreGiven() throws {
        let folder = try TemporaryFolder()
        try Self.machines[1].write(to: folder.path)
        let layout = ProcessorLayout(root: folder.path)
        // Two cores of one node, with both processors of each: 0 and 20, 2 and 22.
        let allowed = [0, 2, 20, 22]
        #expect(layout.share(0, of: 1, allowed: allowed) == [0, 20, 2, 22])
        #expect((0..<2).map { layout.share($0, of: 2, allowed: allowed) } == [[0, 20], [2, 22]])
        #expect((0..<4).map { layout.share($0, of: 4, allowed: allowed) } == [[0], [20], [2], [22]])
    }

    /// A node with fewer allowed processors than the other must not make one rank slower.
    @Test func unequalNodesAreSharedEqually() throws {
        let folder = try TemporaryFolder()
        try Self.machines[3].write(to: folder.path)
        let layout = ProcessorLayout(root: folder.path)
        #expect(
            (0..<2).map { layout.share($0, of: 2, allowed: [0, 1, 2, 3, 4, 5, 6, 16]) } == [
                [0, 1, 2, 3], [4, 5, 6, 16],
            ])
        #expect((0..<2).map { layout.share($0, of: 2, allowed: [0, 1, 2, 16, 17]) } == [[0, 1, 2], [16, 17]])
    }

    @Test func withoutFilesProcessorsAreInOrder() {
        let layout = ProcessorLayout(root: "/nonesuch")
        #expect((0..<2).map { layout.share($0, of: 2, allowed: [0, 1, 4, 5]) } == [[0, 1], [4, 5]])
    }

    /// `Launch/local.sh` without a number of ranks starts one for each node, as far as the process may run there.
    @Test(arguments: zip(machines, [1, 2, 4, 8])) func launcherChoosesARankForEachNode(machine: Machine, ranks: Int)
        throws
    {
        let folder = try TemporaryFolder()
        try machine.write(to: folder.path)
        let all = machine.processors.flatMap { $0 }.count
        #expect(try defaultRanks(folder, allowed: "0-\(all - 1)") == ranks)
        #expect(try defaultRanks(folder, allowed: machine.nodes[0]) == 1)
        guard ranks >= 4 else { return }
        // Three nodes: a power of two, so that the answer is that of one rank.
        #expect(try defaultRanks(folder, allowed: machine.nodes[0...2].joined(separator: ",")) == 2)
    }

    private func defaultRanks(_ folder: TemporaryFolder, allowed: String) throws -> Int? {
        let status = "\(folder.path)/status"
        try Data("Name:\tsh\nCpus_allowed:\tff\nCpus_allowed_list:\t\(allowed)\n".utf8).write(
            to: URL(fileURLWithPath: status))
        let outcome = try ProgramRun.shell(
            ". Launch/nodes.sh; default_ranks \"$SYSTEM\" \"$STATUS\"", ["SYSTEM": folder.path, "STATUS": status])
        return Int(outcome.output.trimmingCharacters(in: .whitespacesAndNewlines))
    }
}

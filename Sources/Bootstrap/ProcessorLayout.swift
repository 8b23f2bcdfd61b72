import Foundation
import Glibc

/// The order of a host's processors: which share a core, and which are near the same memory.
struct ProcessorLayout {
    /// A logical processor's place, by which processors are ordered.
    struct Place: Comparable {
        /// The node of memory that is nearest.
        let node: Int
        let package: Int
        let core: Int
        let processor: Int

        static func < (one: Place, other: Place) -> Bool {
            (one.node, one.package, one.core, one.processor)
                < (other.node, other.package, other.core, other.processor)
        }
    }

    private let places: [Int: Place]

    /// Reads the layout of a Linux system.
    ///
    /// What the files do not tell is taken to be one node, and a core for each processor.
    ///
    /// - Parameter root: the folder that has `node` and `cpu`; another than the default is for tests.
    init(root: String = "/sys/devices/system") {
        var nodes: [Int: Int] = [:]
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "\(root)/node")) ?? [] {
            guard name.hasPrefix("node"), let node = Int(name.dropFirst(4)) else { continue }
            for processor in Self.list(in: "\(root)/node/\(name)/cpulist") { nodes[processor] = node }
        }
        var places: [Int: Place] = [:]
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "\(root)/cpu")) ?? [] {
            guard name.hasPrefix("cpu"), let processor = Int(name.dropFirst(3)) else { continue }
            let topology = "\(root)/cpu/\(name)/topology"
            places[processor] = Place(
                node: nodes[processor] ?? 0,
                package: Self.list(in: "\(topology)/physical_package_id").first ?? 0,
                core: Self.list(in: "\(topology)/core_id").first ?? processor, processor: processor)
        }
        self.places = places
    }

    /// Reads numbers and ranges of them, such as `0-3,8-11`.
    private static func list(in path: String) -> [Int] {
        let data = FileManager.default.contents(atPath: path) ?? Data()
        return String(decoding: data, as: UTF8.self).split(whereSeparator: { $0 == "," || $0.isWhitespace }).flatMap {
            let ends = $0.split(separator: "-").compactMap { Int($0) }
            guard let first = ends.first, let last = ends.last, last < 1 << 16 else { return [Int]() }
            return Array(first...max(first, last))
        }
    }

    private func place(of processor: Int) -> Place {
        places[processor] ?? Place(node: 0, package: 0, core: processor, processor: processor)
    }

    /// Gives the processors of one of several ranks that share a host, in the order of cores; empty if there are fewer
    /// processors than ranks.
    ///
    /// Ranks get whole cores if there are enough, so that none shares a core's caches and arithmetic units with another
    /// rank. If the number of ranks is a multiple of the number of nodes, each rank's processors are on one node, unless one
    /// node has more than a core more than another: ranks wait for the slowest.
    ///
    /// - Parameters:
    ///   - index: the rank's number among those that share the processors.
    ///   - count: how many ranks share them.
    func share(_ index: Int, of count: Int, allowed: [Int]) -> [Int] {
        guard allowed.count >= count else { return [] }
        let ordered = allowed.map { place(of: $0) }.sorted()
        let nodes = Self.runs(ordered) { $0.node == $1.node }
        let coreCounts = nodes.map { Self.cores($0).count }
        let perNode = count / nodes.count
        guard count % nodes.count == 0, (coreCounts.max() ?? 0) - (coreCounts.min() ?? 0) <= 1,
            nodes.allSatisfy({ $0.count >= perNode })
        else {
            return Self.part(index, of: count, ordered)
        }
        return Self.part(index % perNode, of: perNode, nodes[index / perNode])
    }

    /// Gives one of several equal parts, in whole cores if possible.
    private static func part(_ index: Int, of count: Int, _ places: [Place]) -> [Int] {
        let cores = cores(places)
        let units = cores.count >= count ? cores : places.map { [$0] }
        return units[units.count * index / count..<units.count * (index + 1) / count].flatMap { $0.map(\.processor) }
    }

    private static func cores(_ places: [Place]) -> [[Place]] {
        runs(places) { ($0.node, $0.package, $0.core) == ($1.node, $1.package, $1.core) }
    }

    /// Cuts a list where two neighbours do not belong together.
    private static func runs(_ places: [Place], _ belongTogether: (Place, Place) -> Bool) -> [[Place]] {
        var runs: [[Place]] = []
        for place in places {
            if let last = runs.last?.last, belongTogether(last, place) {
                runs[runs.count - 1].append(place)
            } else {
                runs.append([place])
            }
        }
        return runs
    }
}

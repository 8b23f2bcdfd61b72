import Bootstrap
import Foundation
import MPICollectives
import ProgramEntry

/// The report that rank 0 prints: rows as results come, or one JSON object at the end.
struct Report {
    let options: AllReduceBench
    let backend: Backend
    let ranks: Int
    let hosts: [String]
    private(set) var results: [Measurement.Result] = []
    var predictions: [Prediction]?

    init(options: AllReduceBench, backend: Backend, ranks: Int, hosts: [String]) {
        self.options = options
        self.backend = backend
        self.ranks = ranks
        self.hosts = hosts
    }

    /// A line through the times of one collective: time = alpha + beta · bytes.
    struct Fit: Encodable {
        let alphaMicroseconds: Double
        let betaNanosecondsPerByte: Double

        enum CodingKeys: String, CodingKey {
            case alphaMicroseconds = "alpha_us"
            case betaNanosecondsPerByte = "beta_ns_per_byte"
        }

        init?(_ results: [Measurement.Result]) {
            self.init(results.map { (Double($0.bytes), $0.timeMicroseconds.median) })
        }

        /// Fits a line by least squares of relative errors, so that short times count as much as long ones; nil if
        /// there are not at least two sizes.
        init?(_ points: [(bytes: Double, microseconds: Double)]) {
            let points = points.filter { $0.microseconds > 0 }
            guard Set(points.map(\.bytes)).count > 1 else { return nil }
            var (w, wx, wy, wxx, wxy) = (0.0, 0.0, 0.0, 0.0, 0.0)
            for (x, y) in points {
                let weight = 1 / (y * y)
                w += weight
                wx += weight * x
                wy += weight * y
                wxx += weight * x * x
                wxy += weight * x * y
            }
            let slope = (w * wxy - wx * wy) / (w * wxx - wx * wx)
            let alpha = (wy - slope * wx) / w
            // If noise makes one of the two negative, the other is fitted alone.
            if slope < 0 {
                (alphaMicroseconds, betaNanosecondsPerByte) = (wy / w, 0)
            } else if alpha < 0 {
                (alphaMicroseconds, betaNanosecondsPerByte) = (0, wxy / wxx * 1000)
            } else {
                (alphaMicroseconds, betaNanosecondsPerByte) = (alpha, slope * 1000)
            }
        }
    }

    private struct Object: Encodable {
        let ranks: Int
        let hosts: [String]
        let mpi: String
        let results: [Measurement.Result]
        /// The fit of the first collective, type and reduction.
        let fit: Fit?
        let fits: [String: Fit]
        let averageBusBandwidth: Double
        let predictions: [Prediction]?

        enum CodingKeys: String, CodingKey {
            case ranks
            case hosts
            case mpi
            case results
            case fit
            case fits
            case averageBusBandwidth = "average_busbw_gb_per_s"
            case predictions
        }
    }

    private static let header = [
        "collective", "size (B)", "count", "type", "redop", "min (us)", "median", "p99", "max", "algbw (GB/s)",
        "busbw (GB/s)",
        "wrong",
    ]

    private var averageBusBandwidth: Double {
        results.isEmpty ? 0 : results.map(\.busBandwidth).reduce(0, +) / Double(results.count)
    }

    func begin() throws {
        guard options.format != .json else { return }
        let comment = options.format == .markdown ? "" : "# "
        if options.format != .csv {
            var byHost: [(host: String, ranks: [Int])] = []
            for (rank, host) in hosts.enumerated() {
                if let index = byHost.firstIndex(where: { $0.host == host }) {
                    byHost[index].ranks.append(rank)
                } else {
                    byHost.append((host, [rank]))
                }
            }
            let places = byHost.map { "\($0.host): ranks \($0.ranks.map(String.init).joined(separator: " "))" }
            try writeOut("\(comment)\(ranks) ranks, \(mpiLibraryVersion()), backend \(backend.rawValue)\n")
            for place in places { try writeOut("\(comment)\(place)\n") }
            if options.format == .markdown { try writeOut("\n") }
        }
        try writeOut(line(Self.header))
        if options.format == .markdown { try writeOut(line(Self.header.map { _ in "---" })) }
    }

    mutating func add(_ result: Measurement.Result, each: [Double]) throws {
        results.append(result)
        guard options.format != .json else { return }
        if options.profilesStability {
            let factor = result.busBandwidth / result.algorithmBandwidth
            for (call, time) in each.enumerated() {
                let bandwidth = Double(result.bytes) / time / 1000
                try writeOut(
                    "call \(call): \(figure(time)) us, algbw \(figure(bandwidth)) GB/s, busbw \(figure(bandwidth * factor)) GB/s\n"
                )
            }
        }
        let times = result.timeMicroseconds
        try writeOut(
            line([
                result.collective, "\(result.bytes)", "\(result.count)", result.dtype, result.redop ?? "-",
                figure(times.min),
                figure(times.median), figure(times.p99), figure(times.max), figure(result.algorithmBandwidth),
                figure(result.busBandwidth), result.wrong.map(String.init) ?? "-",
            ]))
    }

    func finish() throws {
        let fits = lines.map { (name: $0.name, fit: Fit($0.results)) }
        if options.format == .json {
            try printJSON(
                Object(
                    ranks: ranks, hosts: Set(hosts).sorted(), mpi: mpiLibraryVersion(), results: results,
                    fit: fits.first?.fit, fits: fits.reduce(into: [:]) { $0[$1.name] = $1.fit },
                    averageBusBandwidth: averageBusBandwidth, predictions: predictions))
            return
        }
        guard options.format != .csv else { return }
        let comment = options.format == .markdown ? "\n" : "# "
        for (name, fit) in fits {
            guard let fit else { continue }
            try writeOut(
                "\(comment)\(name): alpha \(figure(fit.alphaMicroseconds)) us, beta \(figure(fit.betaNanosecondsPerByte)) ns/byte "
                    + "(\(fit.betaNanosecondsPerByte > 0 ? figure(1 / fit.betaNanosecondsPerByte) : "-") GB/s)\n")
        }
        try writeOut("\(comment)average bus bandwidth \(figure(averageBusBandwidth)) GB/s; 1 GB = 10^9 bytes\n")
        for each in predictions ?? [] {
            try writeOut(
                "\(comment)\(options.predict ?? ""), T \(each.tensorDegree), P \(each.pipelineDegree): "
                    + "\(figure(each.millisecondsPerToken)) ms a token (all-reduce \(figure(each.allReduceMicroseconds)) us "
                    + "x \(2 * each.layers), hand-off \(figure(each.handOffMicroseconds)) us x \(each.pipelineDegree - 1), "
                    + "logits \(figure(each.logitsMicroseconds)) us, step message \(figure(each.stepMessageMicroseconds)) us); "
                    + "at most \(each.tokensPerSecondBound.map(figure) ?? "any number of") tokens/s\n")
        }
    }

    /// Draws what was measured.
    func draw(on file: OutputFile) throws {
        let series = lines.map { line in
            Plot.Series(
                name: line.name,
                points: line.results.map { (Double($0.bytes), $0.timeMicroseconds.median, $0.busBandwidth) })
        }
        let plot = Plot(title: "\(ranks) ranks on \(Set(hosts).count) host(s), \(backend.rawValue)", series: series)
        try Data(plot.svg.utf8).withUnsafeBytes { try file.write($0) }
        try file.commit()
    }

    /// The results grouped by collective, type and reduction, in the order in which they came.
    private var lines: [(name: String, results: [Measurement.Result])] {
        var lines: [(name: String, results: [Measurement.Result])] = []
        for result in results {
            let name = [result.collective, result.dtype, result.redop].compactMap(\.self).joined(separator: ", ")
            if let index = lines.firstIndex(where: { $0.name == name }) {
                lines[index].results.append(result)
            } else {
                lines.append((name, [result]))
            }
        }
        return lines
    }

    private func line(_ cells: [String]) -> String {
        switch options.format {
        case .csv: return cells.map { $0.replacingOccurrences(of: ",", with: ";") }.joined(separator: ",") + "\n"
        case .markdown: return "| " + cells.joined(separator: " | ") + " |\n"
        default:
            return cells.enumerated().map { index, cell in
                let width = index == 0 ? 14 : 12
                let room = String(repeating: " ", count: max(0, width - cell.count))
                return index == 0 ? cell + room : room + cell
            }.joined(separator: " ") + "\n"
        }
    }

    private func figure(_ value: Double) -> String {
        String(format: abs(value) < 10 ? "%.3f" : abs(value) < 1000 ? "%.2f" : "%.0f", value)
    }
}

import ArgumentParser
import Bootstrap
import Foundation
import Kernels
import ProgramEntry
import Tensors

/// Measures the best performance of the processors that this process may use.
struct Limits: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: """
            Read bandwidth and peak arithmetic, for one thread and for all, with and without huge pages; and the arithmetic of \
            every kernel table that runs here, on which the choice of a table rests.
            """)

    @Option(help: "Threads. Default: one for each processor that the process may run on.")
    var threads: Int?

    @Option(help: "Memory that is read, 1GiB unless given.")
    var size: ByteSize?

    @Option(help: "Rounds; the best is reported.")
    var rounds = 5

    @Option(help: "Kernels to use.")
    var kernels: String?

    @Option(help: "text or json.")
    var format = "text"

    @OptionGroup var outputArguments: OutputArguments

    mutating func validate() throws {
        guard (1...1 << 20).contains(rounds) else { throw ValidationError("--rounds must be from 1 to 1048576.") }
        // The same limit as in a run of a model: more threads would only wait for each other.
        let most = 8 * max(1, ProcessInfo.processInfo.processorCount)
        guard (1...most).contains(threads ?? 1) else {
            throw ValidationError("--threads must be from 1 to \(most), 8 for each processor.")
        }
        guard KernelTable.select(kernels) != nil else {
            throw ValidationError(
                "--kernels must be one of \(KernelTable.supported.map(\.name).joined(separator: ", ")).")
        }
        guard format == "text" || format == "json" else { throw ValidationError("--format must be text or json.") }
    }

    struct Row: Encodable {
        let threads: Int
        let hugePages: Bool
        let readGigabytesPerSecond: Double
        let int8GigaOperationsPerSecond: Double
        let bfloat16GigaOperationsPerSecond: Double
        let float32GigaOperationsPerSecond: Double

        enum CodingKeys: String, CodingKey {
            case threads
            case hugePages = "huge_pages"
            case readGigabytesPerSecond = "read_gb_per_s"
            case int8GigaOperationsPerSecond = "int8_gop_per_s"
            case bfloat16GigaOperationsPerSecond = "bfloat16_gop_per_s"
            case float32GigaOperationsPerSecond = "float32_gop_per_s"
        }
    }

    /// The arithmetic rates of one kernel table on one thread.
    struct TableRow: Encodable {
        let kernels: String
        let int8GigaOperationsPerSecond: Double
        let bfloat16GigaOperationsPerSecond: Double
        let float32GigaOperationsPerSecond: Double
        /// Whether the rule considers the table fast on this vendor's processors.
        let isFast: Bool
        /// Whether the table is chosen if `--kernels` names none.
        let isChosen: Bool

        enum CodingKeys: String, CodingKey {
            case kernels
            case int8GigaOperationsPerSecond = "int8_gop_per_s"
            case bfloat16GigaOperationsPerSecond = "bfloat16_gop_per_s"
            case float32GigaOperationsPerSecond = "float32_gop_per_s"
            case isFast = "is_fast"
            case isChosen = "is_chosen"
        }
    }

    struct Report: Encodable {
        let machine: MachineReport
        let limits: [Row]
        let tables: [TableRow]
    }

    func run() throws {
        guard let table = KernelTable.select(kernels) else { return }
        try Bench.answering {
            try outputArguments.begin()
            try show(measure(table), tables: tableRows(), kernels: table.name)
            try outputArguments.finish()
        }
    }

    private func measure(_ table: KernelTable) throws -> [Row] {
        let processors = allowedProcessors()
        let most = threads ?? max(1, processors.count)
        var rows: [Row] = []
        for count in Set([1, most]).sorted() {
            for hugePages in [false, true] {
                let pool = WorkerPool(count: count, processors: processors.count >= count ? processors : [])
                defer { pool.stop() }
                let limits = try HardwareLimits(
                    table: table, pool: pool, byteCount: size?.byteCount ?? 1 << 30, hugePages: hugePages)
                let peak = arithmetic(limits)
                rows.append(
                    Row(
                        threads: count, hugePages: hugePages,
                        readGigabytesPerSecond: best(limits.readBytesPerSecond) / 1e9,
                        int8GigaOperationsPerSecond: peak.int8, bfloat16GigaOperationsPerSecond: peak.bfloat16,
                        float32GigaOperationsPerSecond: peak.float32))
            }
        }
        return rows
    }

    private func show(_ rows: [Row], tables: [TableRow], kernels: String) throws {
        if format == "json" {
            return try printJSON(Report(machine: MachineReport(kernels: kernels), limits: rows, tables: tables))
        }
        try writeOut("kernels \(kernels), best of \(rounds)\n")
        try writeOut(
            columns(["threads", "huge pages", "read GB/s", "int8 Gop/s", "bf16 Gop/s", "f32 Gop/s"]) + "\n")
        for row in rows {
            try writeOut(
                columns([
                    "\(row.threads)", row.hugePages ? "yes" : "no", rounded(row.readGigabytesPerSecond),
                    rounded(row.int8GigaOperationsPerSecond), rounded(row.bfloat16GigaOperationsPerSecond),
                    rounded(row.float32GigaOperationsPerSecond),
                ]) + "\n")
        }
        try writeOut(columns(["kernels", "fast here", "chosen", "int8 Gop/s", "bf16 Gop/s", "f32 Gop/s"]) + "\n")
        for row in tables {
            try writeOut(
                columns([
                    row.kernels, row.isFast ? "yes" : "no", row.isChosen ? "yes" : "",
                    rounded(row.int8GigaOperationsPerSecond), rounded(row.bfloat16GigaOperationsPerSecond),
                    rounded(row.float32GigaOperationsPerSecond),
                ]) + "\n")
        }
    }

    private func best(_ measure: () -> Double) -> Double { (0..<rounds).reduce(0) { best, _ in max(best, measure()) } }

    /// The best rates of a table's products, in Gop/s.
    private func arithmetic(_ limits: HardwareLimits) -> (int8: Double, bfloat16: Double, float32: Double) {
        (
            best { limits.operationsPerSecond(.int8(WeightGroups(size: 32))) } / 1e9,
            best { limits.operationsPerSecond(.bfloat16) } / 1e9, best { limits.operationsPerSecond(.float32) } / 1e9
        )
    }

    /// Measures every table that this processor supports, on one thread.
    private func tableRows() throws -> [TableRow] {
        let pool = WorkerPool(count: 1)
        defer { pool.stop() }
        let chosen = KernelTable.select()
        return try KernelTable.supported.filter { $0.name != "scalar" }.map { table in
            let peak = arithmetic(try HardwareLimits(table: table, pool: pool, byteCount: 1 << 20))
            return TableRow(
                kernels: table.name, int8GigaOperationsPerSecond: peak.int8,
                bfloat16GigaOperationsPerSecond: peak.bfloat16, float32GigaOperationsPerSecond: peak.float32,
                isFast: table.isFast(on: .current), isChosen: table.name == chosen?.name)
        }
    }
}

import Foundation
import FoundationXML
import TestSupport
import Testing

/// Tests the program `all_reduce_bench`, run over ranks as users run it.
@Suite(.serialized) struct AllReduceBenchTests {
    private struct Report: Decodable {
        struct Row: Decodable {
            struct Times: Decodable {
                let min: Double
                let median: Double
                let p99: Double
                let max: Double
            }
            let collective: String
            let backend: String
            let bytes: Int
            let count: Int
            let dtype: String
            let time_us: Times
            let algbw_gb_per_s: Double
            let busbw_gb_per_s: Double
            let wrong: Int?
        }
        struct Fit: Decodable {
            let alpha_us: Double
            let beta_ns_per_byte: Double
        }
        let ranks: Int
        let hosts: [String]
        let mpi: String
        let results: [Row]
        let fit: Fit?
        let fits: [String: Fit]
    }

    /// For every collective, type and reduction, no element is wrong and the figures are consistent.
    @Test(arguments: ["auto", "messages"], [2, 3]) func noElementIsWrong(backend: String, ranks: Int) throws {
        let outcome = try ProgramRun.run(
            "all_reduce_bench",
            [
                "--backend", backend, "--collective", "all", "-d", "all", "-o", "all", "-b", "16", "-e", "400KB", "-f",
                "50",
                "-n", "2", "--format", "json",
            ], ranks: ranks)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let report: Report = try outcome.json()
        #expect(report.results.allSatisfy { $0.backend == (backend == "auto" ? "shm" : backend) })
        #expect(report.ranks == ranks && report.hosts.count == 1 && report.mpi.contains("MPI"))
        #expect(report.fits.count == (2 * 4 + 5) * 4)
        // Two collectives reduce, with four reductions each; five do not.
        #expect(report.results.count == (2 * 4 + 5) * 4 * 3)
        for row in report.results {
            #expect(row.wrong == 0, "\(row.collective) of \(row.bytes) bytes of \(row.dtype)")
            let times = row.time_us
            #expect(times.min <= times.median && times.median <= times.p99 && times.p99 <= times.max)
            let bandwidth = Double(row.bytes) / times.median / 1000
            #expect(abs(row.algbw_gb_per_s - bandwidth) < 1e-9 * bandwidth)
            let factor =
                switch row.collective {
                case "all_reduce": 2 * Double(ranks - 1) / Double(ranks)
                case "broadcast", "send_recv": 1.0
                default: Double(ranks - 1) / Double(ranks)
                }
            #expect(abs(row.busbw_gb_per_s - bandwidth * factor) < 1e-9 * bandwidth)
        }
    }

    /// The MPI library's own collectives work, but have no 16-bit floating-point types.
    @Test func theLibrarysCollectives() throws {
        let arguments = [
            "--backend", "mpi", "--collective", "all", "-b", "16", "-e", "4KiB", "-n", "2", "--format", "json",
        ]
        let outcome = try ProgramRun.run("all_reduce_bench", arguments, ranks: 2)
        let report: Report = try outcome.json()
        #expect(outcome.status == 0 && report.results.count == 7 * 9 && report.results.allSatisfy { $0.wrong == 0 })
        let refused = try ProgramRun.run("all_reduce_bench", arguments + ["-d", "float16"], ranks: 2)
        #expect(refused.status != 0 && refused.errors.contains("MPI"))
    }

    @Test(arguments: [(1, "float32"), (3, "float32"), (2, "int8"), (3, "int8"), (2, "bfloat16")])
    func randomCallsAreRight(ranks: Int, type: String) throws {
        let arguments = ["--stress", "300", "--seed", "\(ranks)", "--all-reduce-dtype", type]
        let outcome = try ProgramRun.run("all_reduce_bench", arguments, ranks: ranks)
        #expect(outcome.status == 0 && outcome.output.hasSuffix(": 0 wrong\n"), "\(outcome.errors)")
        #expect(outcome.output.hasPrefix("# seed \(ranks)\n300 random calls over \(ranks) ranks, "))
    }

    /// The plot is valid XML with a line for each collective and type, and a point for each size.
    @Test func aPlot() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("", to: "plot.svg")
        let arguments = ["--collective", "all", "-b", "16", "-e", "16KiB", "-f", "4", "-n", "2", "--plot", path]
        let outcome = try ProgramRun.run("all_reduce_bench", arguments, ranks: 2)
        #expect(outcome.status == 0, "\(outcome.errors)")
        final class Counter: NSObject, XMLParserDelegate {
            var elements: [String: Int] = [:]
            func parser(
                _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
                attributes: [String: String]
            ) {
                elements[name, default: 0] += 1
            }
        }
        let counter = Counter()
        let parser = try XMLParser(data: Data(contentsOf: URL(filePath: path)))
        parser.delegate = counter
        #expect(parser.parse() && counter.elements["svg"] == 1)
        // There are two panels, seven collectives and six sizes.
        #expect(counter.elements["polyline"] == 2 * 7 && counter.elements["circle"] == 2 * 7 * 6)
        let bad = try ProgramRun.run(
            "all_reduce_bench", ["-e", "64", "-n", "1", "--plot", "/nowhere/plot.svg"], ranks: 2)
        #expect(bad.status == 65 && bad.errors.contains("--plot /nowhere/plot.svg"), "\(bad.errors)")
    }

    /// Sums that are longer than the caches hold, with odd numbers of elements, are right.
    @Test func longSumsAreRight() throws {
        let arguments = ["-b", "8388620", "-e", "16777300", "-i", "8388680", "-n", "1", "-w", "0", "--format", "json"]
        let report: Report = try ProgramRun.run("all_reduce_bench", arguments, ranks: 2).json()
        #expect(report.results.map(\.wrong) == [0, 0] && report.results[1].bytes == 16_777_300)
    }

    @Test func whatDoesNotSuitIsSaidOnce() throws {
        let outcome = try ProgramRun.run("all_reduce_bench", ["--backend", "hierarchical"], ranks: 2)
        #expect(outcome.status == 64 && outcome.errorLines.count == 1 && outcome.errors.contains("shm"))
        let alone = try ProgramRun.run(
            "all_reduce_bench",
            ["--backend", "shm", "-e", "64", "-n", "1", "--predict", "tinyllama-1.1b", "--format", "json"],
            ranks: 1)
        #expect(alone.status == 0, "\(alone.errors)")
    }

    @Test func tuningIsKeptInAFile() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("", to: "other") + ".json"
        let arguments = ["-b", "1KiB", "-e", "1KiB", "-n", "2", "--all-reduce-tuning", path]
        #expect(try ProgramRun.run("all_reduce_bench", arguments, ranks: 3).status == 0)
        let measured = try Data(contentsOf: URL(filePath: path))
        struct Tuning: Decodable {
            let shared_whole_bytes: Int
            let whole_bytes: Int
            let leader_bytes: Int
            let ranks_of_hosts: [Int]
        }
        #expect(try JSONDecoder().decode(Tuning.self, from: measured).ranks_of_hosts == [3])
        #expect(try ProgramRun.run("all_reduce_bench", arguments, ranks: 3).status == 0)
        #expect(try Data(contentsOf: URL(filePath: path)) == measured)
        let other = try ProgramRun.run("all_reduce_bench", arguments, ranks: 2)
        #expect(other.status == 65 && other.errors.contains("[3]") && other.errors.contains("[2]"), "\(other.errors)")
        for text in [#"{"shared_whole_bytes": -1, "whole_bytes": 1, "leader_bytes": 1, "ranks_of_hosts": [3]}"#, "{"] {
            try Data(text.utf8).write(to: URL(filePath: path))
            let outcome = try ProgramRun.run("all_reduce_bench", arguments, ranks: 3)
            #expect(outcome.status == 65 && outcome.errors.contains(path), "\(outcome.errors)")
        }
    }

    @Test func tablesOfEveryFormat() throws {
        let sizes = ["-b", "1KiB", "-e", "4KiB", "-n", "3"]
        let table = try ProgramRun.run("all_reduce_bench", sizes, ranks: 2).output
        #expect(table.contains("ranks 0 1") && table.contains("alpha") && table.contains("average bus bandwidth"))
        let markdown = try ProgramRun.run("all_reduce_bench", sizes + ["--format", "markdown"], ranks: 2).output
        #expect(markdown.split(separator: "\n").count { $0.hasPrefix("| ") } == 2 + 3)
        let csv = try ProgramRun.run("all_reduce_bench", sizes + ["--format", "csv"], ranks: 2).output
        let rows = csv.split(separator: "\n")
        #expect(rows.count == 1 + 3 && Set(rows.map { $0.count { $0 == "," } }).count == 1)
        let calls = try ProgramRun.run(
            "all_reduce_bench", ["--payload_size_in_gib", "0.001", "--profile_stability", "-n", "4"], ranks: 2
        ).output
        #expect(calls.split(separator: "\n").count { $0.hasPrefix("call ") } == 4)
    }

    /// A prediction covers every degree that the ranks allow, and adds up the operations of a token.
    @Test func predictions() throws {
        struct Predicted: Decodable {
            struct Row: Decodable {
                let tensor_parallel_size: Int
                let pipeline_parallel_size: Int
                let all_reduce_us: Double
                let hand_off_us: Double
                let logits_us: Double
                let step_message_us: Double
                let layers: Int
                let communication_ms_per_token: Double
                let decode_tokens_per_s_bound: Double
            }
            let predictions: [Row]
        }
        let arguments = ["-b", "8KiB", "-e", "8KiB", "--predict", "tinyllama-1.1b", "--format", "json"]
        let rows = try ProgramRun.run("all_reduce_bench", arguments, ranks: 4).json(Predicted.self).predictions
        #expect(rows.map(\.tensor_parallel_size) == [4, 2, 1] && rows.map(\.pipeline_parallel_size) == [1, 2, 4])
        for row in rows {
            let microseconds =
                2 * Double(row.layers) * row.all_reduce_us + Double(row.pipeline_parallel_size - 1) * row.hand_off_us
                + row.logits_us + row.step_message_us
            #expect(row.layers == 22 && abs(row.communication_ms_per_token * 1000 - microseconds) < 1e-6 * microseconds)
            #expect(abs(row.decode_tokens_per_s_bound * row.communication_ms_per_token - 1000) < 1e-6)
        }
        let missing = try ProgramRun.run("all_reduce_bench", ["--predict", "no-such-model"], ranks: 2)
        #expect(missing.status == 66 || missing.status == 65, "\(missing.errors)")
    }

    /// Type names and sizes from scripts for nccl-tests are accepted.
    @Test func namesAndSizesOfNCCLTests() throws {
        for (type, reduction, ours, size) in [
            ("float", "prod", "float32", "8k"), ("half", "max", "float16", "8K"),
            ("bfloat16", "min", "bfloat16", "8KiB"),
        ] {
            let arguments = ["-b", size, "-e", "1m", "-f", "128", "-n", "1", "-d", type, "-o", reduction]
            let outcome = try ProgramRun.run("all_reduce_bench", arguments + ["--format", "json"])
            let report: Report = try outcome.json()
            #expect(report.results.map(\.bytes) == [8192, 1 << 20] && report.results.allSatisfy { $0.dtype == ours })
            #expect(report.results.allSatisfy { $0.wrong == 0 })
        }
    }

    /// With a single rank, `send_recv` is refused as wrong usage and not reported as a lost rank.
    @Test func collectivesOfMoreThanOneRank() throws {
        try Refusal(64, naming: "send_recv", "2 ranks").expect("all_reduce_bench", ["--collective", "send_recv"])
        let outcome = try ProgramRun.run(
            "all_reduce_bench", ["--collective", "all", "-e", "8", "-n", "1", "--format", "json"])
        let report: Report = try outcome.json()
        #expect(outcome.status == 0 && outcome.errorLines.count == 1 && outcome.errors.contains("send_recv"))
        #expect(Set(report.results.map(\.collective)).count == 6 && report.results.allSatisfy { $0.wrong == 0 })
    }

    @Test(arguments: [
        (["-b", "2KiB", "-e", "1KiB"], "-b"), (["-b", "0.4"], "-b"), (["-i", "0.1"], "-i"),
        (["-f", "4611686018427387904"], "-f"), (["-f", "1"], "-f"), (["-c", "2"], "-c"), (["-d", "float64"], "-d"),
        (["-d", "double"], "double"), (["-o", "avg"], "avg"),
        (["-b", "4", "-e", "1G", "-i", "4"], "100000"), (["-e", "1G", "-i", "2"], "-i must be 4"),
        (["-b", "-4"], "-4"),
        (["-o", "average"], "-o"), (["--collective", "scatter"], "--collective"),
        (["--backend", "nccl"], "--backend"),
        (["--timeout", "0"], "--timeout"), (["--profile_stability"], "--payload_size_in_gib"), (["-n", "0"], "-n"),
        (["-n", "9223372036854775807"], "-n"), (["-w", "9223372036854775807"], "-w"),
        (["--stress", "0"], "--stress"), (["--all-reduce-dtype", "int4"], "--all-reduce-dtype"),
    ]) func wrongUsage(arguments: [String], naming: String) throws {
        try Refusal(64, naming: naming).expect("all_reduce_bench", arguments)
    }
}

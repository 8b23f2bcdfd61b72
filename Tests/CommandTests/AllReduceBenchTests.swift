import TestSupport
import Testing

/// The program `all_reduce_bench`, run over ranks as its users do.
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
    }

    /// Every collective, type and reduction: no element is wrong, and figures belong together.
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
        // Two reduce, with four reductions each; three do not.
        #expect(report.results.count == (2 * 4 + 3) * 4 * 3)
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

    /// MPI's own, which name no 16-bit floats.
    @Test func theLibrarysCollectives() throws {
        let arguments = [
            "--backend", "mpi", "--collective", "all", "-b", "16", "-e", "4KiB", "-n", "2", "--format", "json",
        ]
        let outcome = try ProgramRun.run("all_reduce_bench", arguments, ranks: 2)
        let report: Report = try outcome.json()
        #expect(outcome.status == 0 && report.results.count == 5 * 9 && report.results.allSatisfy { $0.wrong == 0 })
        let refused = try ProgramRun.run("all_reduce_bench", arguments + ["-d", "float16"], ranks: 2)
        #expect(refused.status != 0 && refused.errors.contains("MPI"))
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

    /// Every degree that the ranks allow, and what a token's operations add up to.
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

    @Test(arguments: [
        (["-b", "2KiB", "-e", "1KiB"], "-b"), (["-f", "1"], "-f"), (["-c", "2"], "-c"), (["-d", "float64"], "-d"),
        (["-o", "average"], "-o"), (["--collective", "all_to_all"], "--collective"),
        (["--backend", "nccl"], "--backend"),
        (["--timeout", "0"], "--timeout"), (["--profile_stability"], "--payload_size_in_gib"), (["-n", "0"], "-n"),
    ]) func wrongUsage(arguments: [String], naming: String) throws {
        try Refusal(64, naming: naming).expect("all_reduce_bench", arguments)
    }
}

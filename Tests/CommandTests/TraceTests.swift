import Foundation
import TestSupport
import Testing

/// What `--trace` writes, read back.
@Suite struct TraceTests {
    /// An event of Chrome's trace format, as far as all of ours have it.
    struct Event: Decodable {
        let name: String
        let ph: String
        let pid: Int
        let tid: Int
        let cat: String?
        let ts: Double?
        let dur: Double?
        let args: Arguments

        struct Arguments: Decodable {
            let name: String?
            let step: Int?
            let layer: Int?
            let bytes: Int?
            let operations: Int?
        }

        var start: Double { ts ?? .nan }
        var end: Double { start + (dur ?? .nan) }
    }

    struct Trace: Decodable { let traceEvents: [Event] }

    private func read(_ path: String) throws -> [Event] {
        try JSONDecoder().decode(Trace.self, from: Data(contentsOf: URL(fileURLWithPath: path))).traceEvents
    }

    /// Two ranks in one file: the fields are there, events of a thread nest, and the ranks have one clock.
    @Test func tracesAllRanks() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trace.json"
        let outcome = try ProgramRun.run(
            "generate",
            [
                "--model", "\(goldenPath)/llama-mha", "--prompt-token-ids", "5,9,17", "--max-tokens", "5",
                "--temperature", "0", "--ignore-eos", "--trace", path, "--trace-steps", "2..4",
            ], ranks: 2)
        try #require(outcome.status == 0, "\(outcome.errors)")
        let events = try read(path)
        let complete = events.filter { $0.ph == "X" }
        #expect(Set(events.map(\.pid)) == [0, 1] && events.allSatisfy { $0.tid == 0 })
        #expect(events.filter { $0.ph == "M" && $0.name == "process_name" }.compactMap(\.args.name).count == 2)
        #expect(events.allSatisfy { $0.ph == "X" || $0.ph == "M" })
        #expect(complete.allSatisfy { $0.cat != nil && $0.start >= 0 && $0.end >= $0.start })
        #expect(Set(complete.compactMap(\.args.step)) == [2, 3, 4])
        for rank in 0..<2 {
            let own = complete.filter { $0.pid == rank }
            #expect(own.filter { $0.name == "decode" }.count == 3)
            // Times are whole nanoseconds, so that events of a thread nest exactly but for the rounding of doubles.
            var open: [Event] = []
            for event in own.sorted(by: { ($0.start, -$0.end) < ($1.start, -$1.end) }) {
                while let last = open.last, last.end <= event.start + 1e-6 { open.removeLast() }
                #expect((open.last?.end ?? .infinity) >= event.end - 1e-6, "\(event) crosses \(open)")
                open.append(event)
            }
        }
        let kinds = Set(complete.compactMap(\.cat))
        #expect(
            kinds.isSuperset(of: [
                "whole", "product", "attention", "elementwise", "embedding", "all-reduce", "exchange", "sampling",
            ]), "\(kinds)")
        #expect(
            complete.filter { $0.cat == "product" }.allSatisfy { $0.args.bytes ?? 0 > 0 && $0.args.operations ?? 0 > 0 }
        )
        // A rank can leave an all-reduce only after the other has come.
        let sums = (0..<2).map { rank in complete.filter { $0.pid == rank && $0.cat == "all-reduce" } }
        try #require(sums[0].count == sums[1].count && !sums[0].isEmpty)
        for (one, other) in zip(sums[0], sums[1]) {
            #expect(one.args.layer == other.args.layer && one.end >= other.start && other.end >= one.start)
        }
    }

    /// On a plan of stages, hidden states are sent and received; steps that the run does not reach are missed in a line.
    @Test func tracesStages() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trace.json"
        func trace(_ steps: String) throws -> (events: [Event], errors: String) {
            let outcome = try ProgramRun.run(
                "generate",
                [
                    "--model", "\(goldenPath)/llama-mha", "--prompt-token-ids", "5,9", "--max-tokens", "3",
                    "--temperature", "0", "--ignore-eos", "-pp", "2", "--trace", path, "--trace-steps", steps,
                ], ranks: 2)
            try #require(outcome.status == 0, "\(outcome.errors)")
            return (try read(path), outcome.errors)
        }
        let found = try trace("1..2")
        for (rank, name) in [(0, "send"), (1, "receive"), (0, "logits"), (1, "logits"), (0, "embedding"), (1, "head")] {
            #expect(found.events.filter { $0.pid == rank && $0.name == name }.count == 2, "\(name) on rank \(rank)")
        }
        #expect(!found.errors.contains("--trace-steps: the run"))
        let none = try trace("7..9")
        #expect(none.events.isEmpty && none.errors.contains("--trace-steps: the run took 3 step(s)"), "\(none.errors)")
    }

    /// The table of `bench run --by-kind` has the sums of the events in the file.
    @Test func tableAndFileAgree() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trace.json"
        let outcome = try ProgramRun.run(
            "bench",
            [
                "run", "--model", "\(goldenPath)/llama-mha", "--prompt-length", "8", "--new-tokens", "5", "--rounds",
                "1",
                "--by-kind", "--trace", path, "--trace-steps", "1..100",
            ])
        try #require(outcome.status == 0, "\(outcome.errors)")
        // A round is a prefill and four steps of decoding; two rounds come before the one that the table shows.
        let events = try read(path).filter { $0.args.step ?? 0 > 10 }
        let sections = outcome.output.components(separatedBy: "\n\n")
        for (name, steps) in [("prefill", 11...11), ("decode", 12...15)] {
            let section = try #require(sections.first { $0.hasPrefix(name) })
            let rows = section.split(separator: "\n").map { $0.split(separator: " ") }
            for kind in ["product", "attention", "elementwise", "sampling", "step"] {
                let wanted = kind == "step" ? "whole" : kind
                let found = events.filter {
                    steps.contains($0.args.step ?? 0) && $0.cat == wanted && (wanted != "whole" || $0.name == name)
                }
                let row = try #require(rows.first { $0.first == Substring(kind) })
                let milliseconds = try #require(Double(row[kind == "step" ? 1 : 2]))
                let sum = found.reduce(0) { $0 + ($1.dur ?? 0) } / 1000 / Double(steps.count)
                // The table has three decimals.
                #expect(!found.isEmpty && abs(sum - milliseconds) <= 0.0005001, "\(name) \(kind): \(row), \(sum)")
            }
        }
    }

    @Test(arguments: [
        ["--trace-steps", "1..2"], ["--trace", "t.json", "--trace-steps", "2..1"],
        ["--trace", "t.json", "--trace-steps", "0..1"], ["--trace", "t.json", "--trace-steps", "1...2"],
        ["--trace-step", "0"], ["--trace", "t.json", "--trace-steps", "1..99999999999999999999"],
    ])
    func wrongUsage(_ options: [String]) throws {
        let outcome = try ProgramRun.run(
            "generate", ["--model", "\(goldenPath)/llama-mha", "--prompt", "a"] + options, isShort: true)
        #expect(outcome.status == 64 && outcome.output == "" && outcome.errors.contains("--trace-step"), "\(outcome)")
    }

    /// A trace that cannot be written is refused before the model is loaded, and nothing is left half written.
    @Test func refusesAPlaceThatCannotBeWritten() throws {
        let outcome = try ProgramRun.run(
            "generate",
            ["--model", "\(goldenPath)/llama-mha", "--prompt-token-ids", "5", "--trace", "/nonesuch/trace.json"],
            isShort: true)
        #expect(outcome.status == 65 && outcome.errors.contains("--trace /nonesuch/trace.json"), "\(outcome.errors)")
    }
}

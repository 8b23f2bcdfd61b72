import ArgumentParser
import Foundation
import Messages
import ProgramEntry
import Sizing

/// `sizing verify`: compares a plan with the measurements of a run.
struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compares a plan's bytes with what generate --format json measured, rank by rank.",
        discussion: """
            Give generate the plan's --max-model-len. Within 5 % or 32 MiB, and no more than 2 % under, is right; anything else \
            ends with status 65.
            """)

    @Option(help: ArgumentHelp("What sizing plan --format json printed.", valueName: "plan.json"))
    var plan: String
    @Option(help: ArgumentHelp("What generate --format json printed.", valueName: "run.json"))
    var measured: String
    @Option(help: "How the answer is printed.")
    var format: Style = .text

    enum Style: String, CaseIterable, ExpressibleByArgument {
        case text
        case json
    }

    private struct Planned: Decodable {
        struct Rank: Decodable {
            let rank: Int
            let weights: Double
            let kv_cache: Double
            let activations: Double
            let overhead: Double
        }
        let ranks: [Rank]
    }

    private struct Measured: Decodable {
        struct Rank: Decodable {
            let rank: Int
            let weight_bytes: Double
            let kv_cache_bytes: Double
            let activation_bytes: Double
            let peak_rss_bytes: Double
        }
        let memory: [Rank]
    }

    struct Report: Encodable {
        let isRight: Bool
        let ranks: [Row]

        enum CodingKeys: String, CodingKey {
            case isRight = "within_bounds"
            case ranks
        }
    }

    struct Row: Encodable {
        let rank: Int
        let predicted: Int
        let measured: Int
        let difference: Double
        let isRight: Bool
        let weights: [Int]
        let cache: [Int]
        let activations: [Int]

        enum CodingKeys: String, CodingKey {
            case rank
            case predicted = "predicted_bytes"
            case measured = "measured_bytes"
            case difference = "difference_percent"
            case isRight = "within_bounds"
            case weights = "weights_predicted_measured"
            case cache = "kv_cache_predicted_measured"
            case activations = "activations_predicted_measured"
        }
    }

    func run() throws {
        var isRight = true
        try Sizing.answering {
            let planned: Planned = try read(plan, "sizing plan --format json")
            let run: Measured = try read(measured, "generate --format json")
            let ranks = Dictionary(planned.ranks.map { ($0.rank, $0) }) { first, _ in first }
            guard !ranks.isEmpty, Set(run.memory.map(\.rank)) == Set(ranks.keys), run.memory.count == ranks.count else {
                throw RunError(
                    .badInput,
                    "\(escaped(plan)) is for \(planned.ranks.count) ranks, and \(escaped(measured)) of \(run.memory.count): not the same"
                )
            }
            let rows = run.memory.compactMap { measured -> Row? in
                guard let planned = ranks[measured.rank] else { return nil }
                let total = planned.weights + planned.kv_cache + planned.activations + planned.overhead
                // Absurd numbers are clamped; they only need to compare as wrong.
                let difference = max(-0x1p62, min(total, 0x1p62) - measured.peak_rss_bytes)
                let share = difference / max(1, measured.peak_rss_bytes)
                return Row(
                    rank: measured.rank, predicted: clamped(total), measured: clamped(measured.peak_rss_bytes),
                    difference: share * 100,
                    isRight: share >= -0.02 && (share <= 0.05 || difference <= 0x1p25),
                    weights: [clamped(planned.weights), clamped(measured.weight_bytes)],
                    cache: [clamped(planned.kv_cache), clamped(measured.kv_cache_bytes)],
                    activations: [clamped(planned.activations), clamped(measured.activation_bytes)])
            }
            isRight = rows.allSatisfy(\.isRight)
            if format == .json { return try printJSON(Report(isRight: isRight, ranks: rows)) }
            for row in rows {
                func pair(_ values: [Int]) -> String {
                    "\(gibibytes(Double(values[0]))) / \(gibibytes(Double(values[1])))"
                }
                try writeOut(
                    "rank \(row.rank): predicted \(gibibytes(Double(row.predicted))), measured \(gibibytes(Double(row.measured))): "
                        + "\(shown(row.difference)) %, \(row.isRight ? "right" : "WRONG") (predicted / measured weights \(pair(row.weights)), cache \(pair(row.cache)), activations \(pair(row.activations)))\n"
                )
            }
        }
        guard isRight else {
            complain("sizing: a prediction is out of bounds; see the rows marked WRONG")
            throw ExitCode(ExitStatus.badInput.rawValue)
        }
    }

    private func read<Value: Decodable>(_ path: String, _ maker: String) throws -> Value {
        let data = try readData(path)
        do {
            return try JSONDecoder().decode(Value.self, from: data)
        } catch {
            throw RunError(.badInput, "\(escaped(path)) is not what \(maker) prints")
        }
    }
}

import Architectures
import ArgumentParser
import Foundation
import ModelOptions
import ProgramEntry
import Sizing

/// `sizing table`: answers for every model of the catalogue, for cards of the given sizes.
struct Table: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints the fewest cards and the longest context of every model of the catalogue.",
        discussion: "Lengths are in K (1024 tokens), by memory alone; - means that the model does not run.")

    @Option(help: "Memory of a card, such as 32GB; may be given several times.")
    var memory: [ByteSize]
    @Option(help: "Share of it that may be used. Default: the profile's.")
    var utilization: Double?
    @Option(help: "trireme, ascend-vllm, vllm-cuda, or a file that sizing fit wrote.")
    var profile = "ascend-vllm"
    @Option(help: "Storage of all models. Default: as each is published.")
    var quantization = "auto"
    @Option(help: "Key-value cache of all models.")
    var kvCacheDtype = "auto"
    @Flag(help: "Also say why a model does not run.")
    var reasons = false
    @Option(help: "How it is printed.")
    var format: Format = .tsv

    mutating func validate() throws {
        guard !memory.isEmpty else { throw ValidationError("Give --memory, such as --memory 32GB.") }
        guard (0.01...1).contains(utilization ?? 1) else {
            throw ValidationError("--utilization must be from 0.01 to 1.")
        }
        guard PlannedModel.schemeNames.contains(quantization) else {
            throw ValidationError("--quantization must be one of \(PlannedModel.schemeNames.joined(separator: ", ")).")
        }
        _ = try PackingArguments.parse([]).cacheType(named: kvCacheDtype)
    }

    struct Row: Encodable {
        let index: Int
        let model: String
        let cells: [Cell]
    }

    struct Cell: Encodable {
        let memoryBytes: Int
        @OrNull var cards: Int?
        @OrNull var length: Int?
        @OrNull var reason: String?

        enum CodingKeys: String, CodingKey {
            case memoryBytes = "memory_bytes"
            case cards = "min_cards"
            case length = "max_model_len"
            case reason
        }
    }

    func run() throws {
        try Sizing.answering {
            let profile = try MemoryProfile(named: profile, reading: readData)
            let rows = try ModelCatalogue.entries.enumerated().map { index, entry in
                let model = try PlannedModel(entry)
                let storage = try model.storage(
                    scheme: quantization, kvCacheType: kvCacheDtype, options: try PackingArguments.parse([]),
                    profile: profile)
                return Row(
                    index: index + 1, model: entry.name,
                    cells: memory.map { memory in
                        let bytes = memory.bytes(ofGigabyte: profile.nominalGigabyte)
                        let planner = CardPlanner(
                            model.decoder, profile: profile, storage: storage, memory: bytes, utilization: utilization)
                        let fewest = planner.fewestCards(length: profile.minimalLength, batch: 1)
                        return Cell(
                            memoryBytes: clamped(bytes), cards: fewest.option?.demands.plan.rankCount,
                            length: fewest.option?.longestLength,
                            reason: fewest.option == nil
                                ? fewest.tried.first.map { "\($0.cards) cards: \($0.reason)" } : nil)
                    })
            }
            try show(rows)
        }
    }

    private func show(_ rows: [Row]) throws {
        guard format != .json else { return try printJSON(["models": rows]) }
        let sizes = memory.map { memory -> String in
            let gigabytes = Double(memory.byteCount) / (memory.isDecimal ? 1e9 : 0x1p30)
            return gigabytes == gigabytes.rounded() ? "\(Int(gigabytes))" : "\(gigabytes)"
        }
        var lines = [["index", "model"] + sizes.flatMap { ["cards_\($0)", "max_len_k_\($0)"] }]
        if reasons { lines[0] += sizes.map { "why_not_\($0)" } }
        for row in rows {
            let cells = row.cells.flatMap { cell in
                [cell.cards.map(String.init) ?? "-", cell.length.map { "\($0 / 1024)" } ?? "-"]
            }
            lines.append(["\(row.index)", row.model] + cells + (reasons ? row.cells.map { $0.reason ?? "" } : []))
        }
        if format == .markdown {
            lines.insert(lines[0].map { _ in "---" }, at: 1)
            try writeOut(lines.map { "| " + $0.joined(separator: " | ") + " |\n" }.joined())
        } else {
            try writeOut(lines.map { $0.joined(separator: "\t") + "\n" }.joined())
        }
    }
}

import Architectures
import ArgumentParser
import Foundation
import Messages
import ModelOptions
import ProgramEntry
import Sizing

/// `sizing fit`: fits a profile's coefficients to a table of the models that were found to run.
struct Fit: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Fits a profile to a table of the fewest cards and the longest contexts that were found to run.",
        discussion: """
            The table is tab-separated with columns model, cards_32 and max_len_k_32 (32: gigabytes of a card). The profile \
            is printed as JSON, to be kept in a file and given to --profile.
            """)

    @Option(help: ArgumentHelp("The table.", valueName: "file.tsv"))
    var table: String
    @Option(help: "The profile whose rules are kept, and whose coefficients are fitted.")
    var profile = "ascend-vllm"
    @Option(help: "Which columns of the table: gigabytes of a card. Default: the first.")
    var gigabytes: Double?

    func run() throws {
        try Sizing.answering {
            let profile = try MemoryProfile(named: profile, reading: readData)
            guard profile.accounting == .coefficients else {
                throw SizingError.badProfile(
                    path: profile.name, reason: "it adds up what is allocated: there is nothing to fit")
            }
            guard profile.stepTokens == nil, !profile.allowsPipeline else {
                throw SizingError.badProfile(
                    path: profile.name,
                    reason: "only a runtime that takes whole prompts, without a pipeline, can be fitted to a table")
            }
            let measured = try MeasuredTable(
                String(decoding: try readData(table), as: UTF8.self), path: table, gigabytes: gigabytes)
            let models = try measured.rows.map { row in
                guard let entry = ModelCatalogue.entry(named: row.model) else {
                    throw SizingError.badTable(
                        path: table, reason: "no model \(quoted(row.model)) in the catalogue (see sizing models)")
                }
                let model = try PlannedModel(entry)
                return (
                    model.decoder,
                    try model.storage(
                        scheme: "auto", kvCacheType: "auto", options: try PackingArguments.parse([]), profile: profile)
                )
            }
            let name = URL(fileURLWithPath: table).lastPathComponent
            let fitted = ProfileFit(measured, models: models, profile: profile).fitted(table: name)
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
            try writeOut(String(decoding: try encoder.encode(fitted), as: UTF8.self) + "\n")
            if let report = fitted.fit {
                complain(
                    "\(report.cardsRight) of \(report.rows) rows' cards are right, \(report.bothRight) with the length; not explained:"
                )
                for miss in report.misses { complain("  \(miss)") }
            }
        }
    }
}

import Architectures
import ArgumentParser
import ModelOptions
import ProgramEntry
import Sizing

/// `sizing models`: lists the catalogue.
struct Models: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the catalogue of models with their sizes.")

    @Option(help: "How it is printed.")
    var format: Format = .text

    @Flag(help: "List the families instead, as a table in Markdown.")
    var families = false

    struct Row: Encodable {
        let model: String
        let repository: String
        let modelType: String
        let isComputed: Bool
        let parameters: Int
        let activeParameters: Int
        let publishedParameters: Int?
        let layers: Int
        let modelLimit: Int
        let cacheBytes: Int
        let expandedCacheBytes: Int
        let quantization: String

        enum CodingKeys: String, CodingKey {
            case model
            case repository
            case modelType = "model_type"
            case isComputed = "computed"
            case parameters
            case activeParameters = "active_parameters"
            case publishedParameters = "published_parameters"
            case layers
            case modelLimit = "model_limit"
            case cacheBytes = "kv_bytes_per_token_fp16"
            case expandedCacheBytes = "kv_bytes_per_token_fp16_expanded"
            case quantization
        }
    }

    func run() throws {
        if families { return try writeOut(ModelFamily.table + "\n") }
        try Sizing.answering {
            let rows = try ModelCatalogue.entries.map { entry in
                let decoder = try FoundModel(entry).description().decoder
                return Row(
                    model: entry.name, repository: entry.repository,
                    modelType: try entry.configuration.optionalString("model_type") ?? "",
                    isComputed: decoder.uncomputedFeatures.isEmpty, parameters: decoder.parameterCount,
                    activeParameters: decoder.activeParameterCount,
                    publishedParameters: entry.publishedParameterCount, layers: decoder.layers.count,
                    modelLimit: decoder.positionLimit, cacheBytes: 2 * decoder.cachedNumbersPerToken(),
                    expandedCacheBytes: 2 * decoder.cachedNumbersPerToken(.expanded),
                    quantization: entry.quantization ?? "none")
            }
            guard format != .json else { return try printJSON(["models": rows]) }
            var lines = [
                ["model", "parameters", "active", "layers", "limit", "cache_bytes_per_token", "computed", "repository"]
            ]
            lines += rows.map {
                [
                    $0.model, "\($0.parameters)", "\($0.activeParameters)", "\($0.layers)", shortLength($0.modelLimit),
                    "\($0.cacheBytes)", $0.isComputed ? "yes" : "not yet", $0.repository,
                ]
            }
            if format == .markdown { lines.insert(lines[0].map { _ in "---" }, at: 1) }
            let separator = format == .markdown ? " | " : "\t"
            try writeOut(lines.map { $0.joined(separator: separator) + "\n" }.joined())
        }
    }
}

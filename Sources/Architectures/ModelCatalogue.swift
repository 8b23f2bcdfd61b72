import Foundation

/// Shapes of published models by name, for measurements and plans without their files.
///
/// `Resources/models.json` holds the keys of each model's published `config.json` that determine its size.
public enum ModelCatalogue {
    /// A published model.
    public struct Entry: Sendable {
        public let name: String
        /// The model's repository on Hugging Face.
        public let repository: String
        /// The parameter count that its authors publish; nil if they publish none.
        public let publishedParameterCount: Int?
        /// The quantization scheme of the published weights, such as `awq`; nil: floating point.
        public let quantization: String?
        /// The keys of the model's `config.json`.
        public let configuration: ConfigurationFile

        /// The model's shape.
        public func decoder() throws(ConfigurationError) -> DecoderConfiguration {
            try ModelDescription(configuration).decoder
        }
    }

    /// All models; those of a published deployment guide come first.
    public static let entries: [Entry] = {
        do {
            let file = try ConfigurationFile.list(Data(PackageResources.models_json), path: "the catalogue")
            return try file.map { entry in
                guard let name = try entry.optionalString("name"),
                    let repository = try entry.optionalString("repository"),
                    let configuration = try entry.optionalObject("config")
                else { throw entry.unsupported("name", "an entry needs name, repository and config") }
                return Entry(
                    name: name, repository: repository,
                    publishedParameterCount: try entry.optionalInteger("published_parameters", in: 1...1 << 50),
                    quantization: try entry.optionalString("quantization"),
                    configuration: configuration.renamed("the catalogue's \(name)"))
            }
        } catch {
            // The catalogue is compiled in, and a test reads all of it.
            preconditionFailure("the catalogue is damaged: \(error)")
        }
    }()

    private static let byName = Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0) })

    /// The names, in the order of the catalogue.
    public static var names: [String] { entries.map(\.name) }

    /// The model with this name, compared without regard to case.
    public static func entry(named name: String) -> Entry? {
        byName[name] ?? entries.first { $0.name.lowercased() == name.lowercased() }
    }
}

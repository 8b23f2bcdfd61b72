import Architectures
import Checkpoints
import Foundation
import Glibc
import Messages
import ProgramEntry

/// The model that `--model` names: a directory with weights, or only the shape of a model.
public struct FoundModel {
    /// The directory of the weights and tokenizer files; nil for a shape without weights.
    public let directory: String?
    public let checkpoint: Checkpoint?
    public let configuration: ConfigurationFile
    /// The catalogue's entry, if the shape comes from there.
    public let entry: ModelCatalogue.Entry?
    /// Warnings for the user about where the model was found, one line each.
    public let warnings: [String]

    private static let syntheticPrefix = "synthetic:"

    /// Finds `name`, and reads its configuration and the headers of its files.
    ///
    /// - Parameter mayBeShape: whether a catalogue name, or a `config.json` alone, is enough without `synthetic:`.
    public init(named name: String, mayBeShape: Bool = false) throws {
        let isPrefixed = name.hasPrefix(Self.syntheticPrefix)
        let source = isPrefixed ? String(name.dropFirst(Self.syntheticPrefix.count)) : name
        let isFile = mayBeShape && source.hasSuffix(".json")
        // A directory of that name takes precedence over the catalogue.
        let isName = mayBeShape && access(name, F_OK) != 0 && ModelCatalogue.entry(named: source) != nil
        if isPrefixed || isFile || isName {
            entry = ModelCatalogue.entry(named: source)
            configuration = try Self.configuration(ofSynthetic: source)
            directory = nil
            checkpoint = nil
            warnings = []
            return
        }
        let directory: String
        do {
            let place = try Self.locate(name)
            directory = place.directory
            warnings = place.warning.map { [$0] } ?? []
        } catch CheckpointError.noDirectory where mayBeShape {
            throw RunError(
                .missingInput,
                "no such model: \(escaped(name)) is no directory here, and no name of the catalogue (sizing models lists them)"
                    + unfoundHint(name))
        }
        entry = nil
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        if mayBeShape, !names.contains(where: { $0.hasSuffix(".safetensors") }),
            let data = FileManager.default.contents(atPath: "\(directory)/config.json")
        {
            self.directory = nil
            checkpoint = nil
            configuration = try ConfigurationFile(data: data, path: "\(directory)/config.json")
            return
        }
        let checkpoint = try Checkpoint(directory: directory)
        guard let data = try checkpoint.json("config.json") else {
            throw CheckpointError.missingFile(path: "\(directory)/config.json", reason: "it describes the model")
        }
        self.directory = directory
        self.checkpoint = checkpoint
        configuration = try ConfigurationFile(data: data, path: "\(directory)/config.json")
    }

    /// A model of the catalogue.
    public init(_ entry: ModelCatalogue.Entry) {
        self.entry = entry
        configuration = entry.configuration
        directory = nil
        checkpoint = nil
        warnings = []
    }

    /// The model that the configuration describes.
    ///
    /// - Throws: `ConfigurationError`, also for absurd sizes, so that sums of sizes stay far from overflow.
    public func description() throws -> ModelDescription {
        let description = try ModelDescription(configuration)
        let decoder = description.decoder
        let count = decoder.layers.reduce(0.0) { sum, layer in
            sum + decoder.parameters(of: layer, at: 0).reduce(0.0) { $0 + $1.shape.reduce(1.0) { $0 * Double($1) } }
        }
        guard count < 0x1p50 else {
            throw configuration.unsupported("num_hidden_layers", "\(count) parameters are more than any model has")
        }
        return description
    }

    /// The directory `name`, or the snapshot of `ORG/NAME` in the local Hugging Face cache.
    ///
    /// - Returns: the directory, and a warning if it was chosen from several snapshots.
    /// - Throws: `RunError` with status 66, or `CheckpointError.noDirectory`, if there is none.
    public static func locate(_ name: String) throws -> (directory: String, warning: String?) {
        var isDirectory = false
        var status = stat()
        if stat(name, &status) == 0 { isDirectory = status.st_mode & S_IFMT == S_IFDIR }
        if isDirectory { return (name, nil) }
        if name.hasSuffix(".gguf") {
            throw RunError(.badInput, "\(escaped(name)): GGUF files are not read yet; give a Hugging Face directory")
        }
        let parts = name.split(separator: "/")
        if parts.count == 2, !name.hasPrefix("/"), !name.hasPrefix("."), !parts.contains("..") {
            let cache = HubCache(environment: ProcessInfo.processInfo.environment)
            if let found = cache.snapshot(organization: parts[0], name: parts[1]) { return found }
            throw RunError(
                .missingInput,
                "no such model: \(escaped(name)) is no directory here, nor in the Hugging Face cache at "
                    + "\(escaped(cache.path)); nothing is downloaded\(unfoundHint(name))"
            )
        }
        throw CheckpointError.noDirectory(path: name)
    }

    /// A configuration of the catalogue, or of a file.
    private static func configuration(ofSynthetic source: String) throws -> ConfigurationFile {
        if let entry = ModelCatalogue.entry(named: source) { return entry.configuration }
        guard access(source, F_OK) == 0 else {
            throw RunError(
                .missingInput,
                "no model \(quoted(source)) in the catalogue (see sizing models), and no such config.json\(unfoundHint(source))"
            )
        }
        return try ConfigurationFile(data: Data(readInput(source)), path: source)
    }
}

import Architectures
import Checkpoints
import Foundation
import Glibc
import ProgramEntry

/// Where `--model` leads: a directory with weights, or only the shape of a model.
public struct FoundModel {
    /// Where the weights and tokenizer files lie; nil for a shape without weights.
    public let directory: String?
    public let checkpoint: Checkpoint?
    public let configuration: ConfigurationFile
    /// The catalogue's entry, if that is where the shape comes from.
    public let entry: ModelCatalogue.Entry?

    private static let syntheticPrefix = "synthetic:"

    /// Finds `name`; reads its configuration and the headers of its files.
    ///
    /// - Parameter mayBeShape: whether a name of the catalogue, or a `config.json` alone, will do without `synthetic:`.
    public init(named name: String, mayBeShape: Bool = false) throws {
        let isPrefixed = name.hasPrefix(Self.syntheticPrefix)
        let source = isPrefixed ? String(name.dropFirst(Self.syntheticPrefix.count)) : name
        let isFile = mayBeShape && source.hasSuffix(".json")
        // A directory of that name is what is meant.
        let isName = mayBeShape && access(name, F_OK) != 0 && ModelCatalogue.entry(named: source) != nil
        if isPrefixed || isFile || isName {
            entry = ModelCatalogue.entry(named: source)
            configuration = try Self.configuration(ofSynthetic: source)
            directory = nil
            checkpoint = nil
            return
        }
        let directory: String
        do {
            directory = try Self.locate(name)
        } catch CheckpointError.noDirectory where mayBeShape {
            throw RunError(
                .missingInput,
                "no such model: \(name) is no directory here, and no name of the catalogue (sizing models lists them)")
        }
        entry = nil
        if mayBeShape, let data = FileManager.default.contents(atPath: "\(directory)/config.json"),
            try !FileManager.default.contentsOfDirectory(atPath: directory).contains(where: {
                $0.hasSuffix(".safetensors")
            })
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
    }

    /// The shape, if it is not absurd: sums of its sizes stay far from overflow.
    public func decoder(of family: ModelFamily) throws -> DecoderConfiguration {
        let decoder = try family.configure(configuration)
        let count = decoder.layers.reduce(0.0) { sum, layer in
            sum + decoder.parameters(of: layer, at: 0).reduce(0.0) { $0 + $1.shape.reduce(1.0) { $0 * Double($1) } }
        }
        guard count < 0x1p50 else {
            throw configuration.unsupported("num_hidden_layers", "\(count) parameters are more than any model has")
        }
        return decoder
    }

    /// A directory as given, or the snapshot of `ORG/NAME` in the local Hugging Face cache.
    private static func locate(_ name: String) throws -> String {
        var isDirectory = false
        var status = stat()
        if stat(name, &status) == 0 { isDirectory = status.st_mode & S_IFMT == S_IFDIR }
        if isDirectory { return name }
        if name.hasSuffix(".gguf") {
            throw RunError(.badInput, "\(name): GGUF files are not read yet; give a Hugging Face directory")
        }
        let parts = name.split(separator: "/")
        if parts.count == 2, !name.hasPrefix("/"), !name.hasPrefix("."), !parts.contains("..") {
            let environment = ProcessInfo.processInfo.environment
            let home = environment["HF_HOME"] ?? (environment["HOME"] ?? "") + "/.cache/huggingface"
            let cached = "\(home)/hub/models--\(parts[0])--\(parts[1])"
            if let reference = FileManager.default.contents(atPath: "\(cached)/refs/main") {
                let revision = String(decoding: reference, as: UTF8.self).filter { $0.isLetter || $0.isNumber }
                let snapshot = "\(cached)/snapshots/\(revision)"
                if stat(snapshot, &status) == 0 { return snapshot }
            }
            throw RunError(
                .missingInput,
                "no such model: \(name) is no directory here, nor in the Hugging Face cache at \(home)/hub; nothing is downloaded"
            )
        }
        throw CheckpointError.noDirectory(path: name)
    }

    /// A configuration of the catalogue, or of a file.
    private static func configuration(ofSynthetic source: String) throws -> ConfigurationFile {
        if let entry = ModelCatalogue.entry(named: source) { return entry.configuration }
        guard let data = FileManager.default.contents(atPath: source) else {
            throw RunError(
                .missingInput,
                "no model \"\(source)\" in the catalogue (see sizing models), and no such config.json"
            )
        }
        return try ConfigurationFile(data: data, path: source)
    }
}

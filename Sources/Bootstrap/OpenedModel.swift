import Architectures
import Checkpoints
import Foundation
import Glibc
import Models
import Tensors

/// A model as it was found: configuration, weights and what its generation configuration says.
public struct OpenedModel: Sendable {
    /// As `--model` named it.
    public let name: String
    /// Where tokenizer files lie; nil for a synthetic model.
    public let directory: String?
    public let decoder: DecoderConfiguration
    public let family: ModelFamily
    public let weights: any WeightSource
    public let isSynthetic: Bool
    /// The float type that `config.json` says the model was saved in.
    public let savedType: ElementType?
    /// Tokens that end a sequence.
    public let endTokens: [Int]
    public let beginToken: Int?
    public let sampling: SamplingDefaults

    /// What `generation_config.json` sets.
    public struct SamplingDefaults: Sendable {
        public var temperature: Double?
        public var topK: Int?
        public var topP: Double?
        public var minP: Double?
        public var repetitionPenalty: Double?
        public var maximumNewTokens: Int?
    }

    private static let syntheticPrefix = "synthetic:"

    /// Finds and opens `name`; reads configurations and headers, no weights.
    public init(named name: String, seed: UInt64) throws {
        self.name = name
        if name.hasPrefix(Self.syntheticPrefix) {
            let source = String(name.dropFirst(Self.syntheticPrefix.count))
            let file = try Self.syntheticConfiguration(source)
            family = try ModelFamily.named(by: file)
            decoder = try family.configure(file)
            weights = SyntheticWeights(seed: seed, names: family.tensorNames, decoder: decoder)
            directory = nil
            isSynthetic = true
            savedType = nil
            endTokens = []
            beginToken = nil
            sampling = SamplingDefaults()
            return
        }
        let directory = try Self.locate(name)
        let checkpoint = try Checkpoint(directory: directory)
        guard let data = try checkpoint.json("config.json") else {
            throw CheckpointError.missingFile(path: "\(directory)/config.json", reason: "it describes the model")
        }
        let file = try ConfigurationFile(data: data, path: "\(directory)/config.json")
        family = try ModelFamily.named(by: file)
        decoder = try family.configure(file)
        weights = try CheckpointWeights(
            checkpoint, quantization: checkpoint.quantizationConfiguration(), names: family.tensorNames,
            decoder: decoder)
        self.directory = directory
        isSynthetic = false
        let oldType = try file.optionalString("torch_dtype")
        let type = try file.optionalString("dtype") ?? oldType
        savedType = ["float32": .float32, "float16": .float16, "bfloat16": .bfloat16][type ?? ""]
        let generationData = try checkpoint.json("generation_config.json")
        let generation = try generationData.map {
            try ConfigurationFile(data: $0, path: "\(directory)/generation_config.json")
        }
        let declared = try generation?.tokenIDs("eos_token_id") ?? []
        endTokens = declared.isEmpty ? try file.tokenIDs("eos_token_id") : declared
        beginToken = try file.tokenIDs("bos_token_id").first ?? generation?.tokenIDs("bos_token_id").first
        sampling = try SamplingDefaults(generation)
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

    private static func syntheticConfiguration(_ source: String) throws -> ConfigurationFile {
        if let data = ModelCatalogue.configuration(named: source) {
            return try ConfigurationFile(data: data, path: "synthetic:\(source)")
        }
        guard let data = FileManager.default.contents(atPath: source) else {
            throw RunError(
                .missingInput,
                "no model \"\(source)\" in the catalogue (\(ModelCatalogue.names.joined(separator: ", "))), and no such config.json"
            )
        }
        return try ConfigurationFile(data: data, path: source)
    }
}

extension OpenedModel.SamplingDefaults {
    init(_ file: ConfigurationFile?) throws(ConfigurationError) {
        guard let file else { return }
        temperature = try file.optionalNumber("temperature", in: 0...1e6)
        // A configuration that says not to sample means the best token.
        if try file.optionalBool("do_sample") == false { temperature = 0 }
        topK = try file.optionalInteger("top_k", in: -1...1 << 30)
        topP = try file.optionalNumber("top_p", in: 0...1)
        minP = try file.optionalNumber("min_p", in: 0...1)
        repetitionPenalty = try file.optionalNumber("repetition_penalty", in: 1e-6...1e6)
        maximumNewTokens = try file.optionalInteger("max_new_tokens", in: 1...1 << 30)
    }
}

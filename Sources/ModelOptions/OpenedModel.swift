import Architectures
import Checkpoints
import Foundation
import Glibc
import ProgramEntry
import Tensors
import Weights

/// An opened model: its configuration, its weights, and the defaults of its generation configuration.
public struct OpenedModel: Sendable {
    /// The name given by `--model`.
    public let name: String
    /// The directory of the tokenizer files; nil for a synthetic model.
    public let directory: String?
    public let decoder: DecoderConfiguration
    /// The tensor names of its checkpoint.
    public let names: TensorNames
    public let weights: any WeightSource
    public let isSynthetic: Bool
    /// Tokens that end a sequence.
    public let endTokens: [Int]
    public let beginToken: Int?
    public let sampling: SamplingDefaults
    /// Warnings for the user about where the model was found and which tensors are unused, one line each.
    public let warnings: [String]

    /// The defaults that `generation_config.json` sets.
    public struct SamplingDefaults: Sendable {
        public var temperature: Double?
        public var topK: Int?
        public var topP: Double?
        public var minP: Double?
        public var repetitionPenalty: Double?
        public var maximumNewTokens: Int?
    }

    /// Finds and opens `name`; it reads configurations and headers, but no weights.
    public init(named name: String, seed: UInt64) throws {
        self.name = name
        let found = try FoundModel(named: name)
        let description = try found.description()
        names = description.names
        var declared = description.decoder
        // Only text is computed: the tensors of other parts are named in a warning, and take no memory.
        declared.companions = []
        let missing = declared.uncomputedFeatures
        guard missing.isEmpty else {
            throw found.configuration.unsupported(
                "model_type",
                "\(declared.modelType) models like this one can be planned for (sizing), but are not computed yet: the "
                    + "runtime lacks \(missing.joined(separator: ", "))")
        }
        guard let directory = found.directory, let checkpoint = found.checkpoint else {
            weights = SyntheticWeights(seed: seed, names: names, decoder: declared)
            decoder = declared
            warnings = found.warnings
            self.directory = nil
            isSynthetic = true
            endTokens = []
            beginToken = nil
            sampling = SamplingDefaults()
            return
        }
        let file = found.configuration
        let weights = try CheckpointWeights(
            checkpoint, quantization: checkpoint.quantizationConfiguration(), names: names, decoder: declared)
        decoder = weights.decoder
        warnings = found.warnings + weights.warnings
        self.weights = weights
        self.directory = directory
        isSynthetic = false
        let generationData = try checkpoint.json("generation_config.json")
        let generation = try generationData.map {
            try ConfigurationFile(data: $0, path: "\(directory)/generation_config.json")
        }
        func tokens(_ key: String, of file: ConfigurationFile?) throws -> [Int] {
            try file?.tokenIDs(key, below: weights.decoder.vocabularySize) ?? []
        }
        let (ends, laterEnds) = (try tokens("eos_token_id", of: file), try tokens("eos_token_id", of: generation))
        endTokens = laterEnds.isEmpty ? ends : laterEnds
        let (begins, laterBegins) = (try tokens("bos_token_id", of: file), try tokens("bos_token_id", of: generation))
        beginToken = begins.first ?? laterBegins.first
        sampling = try SamplingDefaults(generation)
    }
}

extension ConfigurationFile {
    /// Reads token ids, and checks that the model has them.
    fileprivate func tokenIDs(_ key: String, below count: Int) throws(ConfigurationError) -> [Int] {
        let ids = try tokenIDs(key)
        guard let bad = ids.first(where: { $0 >= count }) else { return ids }
        throw unsupported(
            key, "there is no token \(bad): the model has \(count) (vocab_size); the files may not belong together")
    }
}

extension OpenedModel.SamplingDefaults {
    init(_ file: ConfigurationFile?) throws(ConfigurationError) {
        guard let file else { return }
        temperature = try file.optionalNumber("temperature", in: 0...1e6)
        // A configuration that turns sampling off means greedy decoding.
        if try file.optionalBool("do_sample") == false { temperature = 0 }
        topK = try file.optionalInteger("top_k", in: -1...1 << 30)
        topP = try file.optionalNumber("top_p", in: 0...1)
        // It is refused here, so that the message names the file rather than an option.
        if topP == 0 { throw file.unsupported("top_p", "0 leaves no token; it must be above 0 and at most 1") }
        minP = try file.optionalNumber("min_p", in: 0...1)
        repetitionPenalty = try file.optionalNumber("repetition_penalty", in: 1e-6...1e6)
        maximumNewTokens = try file.optionalInteger("max_new_tokens", in: 1...1 << 30)
    }
}

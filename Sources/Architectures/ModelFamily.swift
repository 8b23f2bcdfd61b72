import Messages

/// A model as its `config.json` describes it: the decoder, and where a checkpoint keeps its parameters.
public struct ModelDescription: Sendable {
    public var decoder: DecoderConfiguration
    public var names: TensorNames

    public init(_ decoder: DecoderConfiguration, _ names: TensorNames) {
        self.decoder = decoder
        self.names = names
    }

    /// Reads a configuration as the family that it names does.
    public init(_ file: ConfigurationFile) throws(ConfigurationError) {
        self = try ModelFamily.named(by: file).describe(file)
    }
}

/// How one model family's `config.json` and tensor names map onto a `ModelDescription`.
public struct ModelFamily: Sendable {
    /// The values of `model_type` that name this family.
    public let modelTypes: [String]
    /// The published models of the family, in words.
    public let models: String
    /// Whether the runtime computes such models; it plans for all of them (`sizing`).
    public let isComputed: Bool
    public let describe: @Sendable (ConfigurationFile) throws(ConfigurationError) -> ModelDescription

    init(
        _ modelTypes: String..., models: String, isComputed: Bool = true,
        describe: @escaping @Sendable (ConfigurationFile) throws(ConfigurationError) -> ModelDescription
    ) {
        self.modelTypes = modelTypes
        self.models = models
        self.isComputed = isComputed
        self.describe = describe
    }

    /// Every family, the most common ones first.
    public static let all: [ModelFamily] = [
        .llama, .mistral, .qwen2, .qwen3, .gemma2, .gemma3, .gemma4, .phi3, .gptOSS, .deepSeek, .qwen3MoE, .mixtral,
        .llama4,
        .glm4MoE, .qwen2MoE, .gemma, .olmo2, .olmo3, .glm, .glm4, .cohere, .cohere2, .granite, .smolLM3, .exaone4,
        .seedOSS, .nemotron, .ernie45, .hunyuan, .apertus, .ministral3, .starCoder2, .stableLM, .phi,
        .miniCPM, .internLM, .internLM2, .chatGLM, .baichuan, .qwen, .falcon, .mpt, .bloom, .opt, .gptBigCode, .gptNeoX,
        .gptJ, .gpt2,
        .visionLanguage, .internVL, .miniCPMV,
    ]

    /// A table of all families in Markdown, in alphabetical order.
    public static var table: String {
        let rows = all.map { family in
            let types = family.modelTypes.map { "`\($0)`" }.joined(separator: ", ")
            return "| \(family.models) | \(types) | \(family.isComputed ? "" : "sizing only") |"
        }
        return (["| models | `model_type` | |", "|---|---|---|"] + rows.sorted()).joined(separator: "\n")
    }

    /// The family that a configuration names.
    public static func named(by file: ConfigurationFile) throws(ConfigurationError) -> ModelFamily {
        guard let modelType = try file.optionalString("model_type") else {
            throw .missingKey(path: file.path, key: "model_type")
        }
        guard let family = all.first(where: { $0.modelTypes.contains(modelType) }) else {
            throw .unknownFamily(path: file.path, modelType: modelType, known: all.flatMap(\.modelTypes))
        }
        return family
    }
}

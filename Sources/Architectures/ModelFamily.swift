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
    public let describe: @Sendable (ConfigurationFile) throws(ConfigurationError) -> ModelDescription

    init(
        _ modelTypes: String...,
        describe: @escaping @Sendable (ConfigurationFile) throws(ConfigurationError) -> ModelDescription
    ) {
        self.modelTypes = modelTypes
        self.describe = describe
    }

    /// Every family, the most common ones first.
    public static let all: [ModelFamily] = [
        .llama, .mistral, .qwen2, .qwen3, .gemma2, .gemma3, .phi3, .gptOSS, .deepSeek, .qwen3MoE, .mixtral, .llama4,
        .glm4MoE, .qwen2MoE, .gemma, .olmo2, .internLM2, .chatGLM, .baichuan, .qwen, .falcon, .mpt, .gptNeoX, .gptJ,
        .gpt2,
        .visionLanguage, .internVL, .miniCPMV,
    ]

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

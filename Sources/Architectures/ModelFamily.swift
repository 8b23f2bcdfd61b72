import Messages

/// How one model family's `config.json` and tensor names map onto `DecoderConfiguration`.
public struct ModelFamily: Sendable {
    /// The values of `model_type` that mean this family.
    public let modelTypes: [String]
    public let tensorNames: TensorNames
    /// Whether the runtime computes it; of the others it is only known how large they are.
    public var isComputed = true
    public let configure: @Sendable (ConfigurationFile) throws(ConfigurationError) -> DecoderConfiguration

    /// The families that the runtime computes, in order of age.
    public static let computed: [ModelFamily] = [.llama, .mistral, .qwen2]

    /// Every family that a plan can be made for.
    public static let all: [ModelFamily] = computed + describedFamilies

    /// The family that a configuration names.
    public static func named(by file: ConfigurationFile) throws(ConfigurationError) -> ModelFamily {
        guard let modelType = try file.optionalString("model_type") else {
            throw .missingKey(path: file.path, key: "model_type")
        }
        guard let family = all.first(where: { $0.modelTypes.contains(modelType) }) else {
            throw .unknownFamily(path: file.path, modelType: modelType, known: computed.flatMap(\.modelTypes))
        }
        return family
    }
}

extension DecoderConfiguration {
    /// Reads the keys that families after Llama share; a family then changes what it does differently.
    ///
    /// - Parameter defaultLength: `max_position_embeddings` of a file that does not give it, as of transformers' class.
    public init(llamaStyle file: ConfigurationFile, defaultLength: Int) throws(ConfigurationError) {
        let sizes = 1...1 << 20
        let hidden = try file.integer("hidden_size", in: sizes)
        let heads = try file.integer("num_attention_heads", in: 1...1 << 16)
        let keyValueHeads = try file.optionalInteger("num_key_value_heads", in: 1...heads) ?? heads
        guard heads % keyValueHeads == 0 else {
            throw file.unsupported(
                "num_key_value_heads", "\(heads) query heads cannot share \(keyValueHeads) key-value heads evenly")
        }
        guard
            let headDimension = try file.optionalInteger("head_dim", in: 2...512)
                ?? (hidden % heads == 0 ? hidden / heads : nil),
            (2...512).contains(headDimension)
        else {
            throw file.unsupported(
                "hidden_size", "\(hidden) is not \(heads) heads of 2 to 512 features, and head_dim is not given")
        }
        guard headDimension % 2 == 0 else {
            throw file.unsupported("head_dim", "\(headDimension) is odd; rotary embedding turns pairs")
        }
        let activation = try file.optionalString("hidden_act") ?? "silu"
        guard activation == "silu" else {
            throw file.unsupported("hidden_act", "\(quoted(activation)) is not supported; silu is")
        }
        let rotary = try RotaryEmbedding(file, defaultLength: defaultLength)
        let attentionBias = try file.optionalBool("attention_bias") ?? false
        let layer = LayerConfiguration(
            attention: .groupedQuery(
                GroupedQueryAttention(
                    queryHeadCount: heads, keyValueHeadCount: keyValueHeads, headDimension: headDimension,
                    hasInputBias: attentionBias, hasOutputBias: attentionBias)),
            feedForward: .gated(
                GatedFeedForward(
                    intermediateSize: try file.integer("intermediate_size", in: sizes),
                    hasBias: try file.optionalBool("mlp_bias") ?? false)))
        self.init(
            modelType: try file.optionalString("model_type") ?? "", hiddenSize: hidden,
            vocabularySize: try file.integer("vocab_size", in: 1...1 << 24),
            tiesEmbeddings: try file.optionalBool("tie_word_embeddings") ?? false,
            normEpsilon: Float(try file.optionalNumber("rms_norm_eps", in: 0...1) ?? 1e-6), positionLimit: rotary.reach,
            rotary: rotary,
            layers: Array(repeating: layer, count: try file.integer("num_hidden_layers", in: 1...4096)))
    }

    /// Changes every layer's attention.
    mutating func changeAttention(_ change: (inout GroupedQueryAttention, _ layer: Int) -> Void) {
        for layer in layers.indices {
            guard case .groupedQuery(var attention) = layers[layer].attention else { continue }
            change(&attention, layer)
            layers[layer].attention = .groupedQuery(attention)
        }
    }
}

/// What `layer_types` says of a layer's attention.
enum LayerKind: String {
    case full = "full_attention"
    case sliding = "sliding_attention"
}

extension ConfigurationFile {
    /// The kind of each layer; nil where the file does not say.
    ///
    /// - Parameter supported: the kinds that the family has.
    func layerKinds(count: Int, supported: Set<LayerKind>) throws(ConfigurationError) -> [LayerKind]? {
        guard let names = try optionalStrings("layer_types") else { return nil }
        guard names.count == count else {
            throw unsupported("layer_types", "\(names.count) kinds for \(count) layers")
        }
        var kinds: [LayerKind] = []
        for name in names {
            guard let kind = LayerKind(rawValue: name), supported.contains(kind) else {
                let allowed = supported.map(\.rawValue).sorted().joined(separator: " and ")
                throw unsupported("layer_types", "\(quoted(name)) is not supported; this family has \(allowed)")
            }
            kinds.append(kind)
        }
        return kinds
    }
}

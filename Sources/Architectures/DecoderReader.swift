import Messages
import Tensors

/// Reads from a `config.json` what most families have in common, under the keys that each family uses.
///
/// A family sets the keys and the defaults of its class in transformers where they differ from Llama's, and then
/// changes what its layers do differently.
struct DecoderReader {
    /// The names of keys.
    ///
    /// In a list, the first key that the file has counts.
    struct Keys {
        var hiddenSize = "hidden_size"
        var layerCount = "num_hidden_layers"
        var headCount = "num_attention_heads"
        /// nil: every query head has a key-value head of its own.
        var keyValueHeadCount: String? = "num_key_value_heads"
        var headDimension = "head_dim"
        var intermediateSize = "intermediate_size"
        var vocabularySize = "vocab_size"
        /// The first conversions of Llama use the second name.
        var lengths = ["max_position_embeddings", "max_sequence_length"]
        var normEpsilon = "rms_norm_eps"
        var activation = "hidden_act"
        var theta = "rope_theta"
    }

    static let sizes = 1...1 << 20
    static let lengths = 1...1 << 30
    static let windows = 1...1 << 30
    /// Features of all heads together: numbers of elements must stay far below what an `Int` holds.
    static let mostFeatures = 1 << 24

    let file: ConfigurationFile
    var keys = Keys()
    /// Defaults for sizes that the file leaves out, by key.
    var sizes: [String: Int] = [:]
    /// The default for the longest context; nil: the file must give it.
    var length: Int?
    /// The norm over the hidden size, with the default epsilon.
    var norm = NormConfiguration(kind: .rms, epsilon: 1e-6)
    /// The default activation function.
    var activation = Activation.silu
    var isGated = true
    /// The default intermediate size as a multiple of the hidden size; nil: the file must give the intermediate size.
    var widthMultiple: Int?
    var ties = false
    var isRotary = true
    var pairing = Rotation.Pairing.halves
    /// The default fraction of a head's features that is rotated; nil: whole heads, and the file may not differ.
    var rotatedShare: Double?
    /// The default base of the rotary embedding.
    var theta = 10_000.0
    var longRope = LongRopeSpelling()
    /// Whether rotary scaling extends the context beyond the length that the file gives.
    var countsScaling = true

    init(_ file: ConfigurationFile) {
        self.file = file
    }

    private func integer(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
        let given = try file.optionalInteger(key, in: range)
        if let value = given ?? sizes[key] { return value }
        return try file.integer(key, in: range)
    }

    func hiddenSize() throws(ConfigurationError) -> Int { try integer(keys.hiddenSize, in: Self.sizes) }

    func layerCount() throws(ConfigurationError) -> Int { try integer(keys.layerCount, in: 1...4096) }

    /// The longest context that the model was trained on.
    func trainedLength() throws(ConfigurationError) -> Int {
        for key in keys.lengths {
            if let given = try file.optionalInteger(key, in: Self.lengths) { return given }
        }
        if let length { return length }
        return try integer(keys.lengths[0], in: Self.lengths)
    }

    /// Reads a decoder whose layers are all the same.
    ///
    /// - Parameter intermediateSize: the width of the feed-forward; nil: the file's.
    func decoder(intermediateSize: Int? = nil) throws(ConfigurationError) -> DecoderConfiguration {
        let hidden = try hiddenSize()
        let trainedLength = try trainedLength()
        var norm = norm
        norm.epsilon = Float(try file.optionalNumber(keys.normEpsilon, in: 0...1) ?? Double(norm.epsilon))
        let attention = try attention(hidden: hidden, trainedLength: trainedLength)
        let width: Int
        if let intermediateSize { width = intermediateSize } else { width = try self.width(hidden: hidden) }
        let layer = LayerConfiguration(
            attention: .groupedQuery(attention),
            feedForward: .dense(
                FeedForward(
                    intermediateSize: width, activation: try namedActivation(), isGated: isGated)),
            norm: norm)
        return DecoderConfiguration(
            modelType: try file.optionalString("model_type") ?? "", hiddenSize: hidden,
            vocabularySize: try integer(keys.vocabularySize, in: 1...1 << 24),
            tiesEmbeddings: try file.optionalBool("tie_word_embeddings") ?? ties,
            positionLimit: countsScaling ? attention.rotation?.embedding.reach ?? trainedLength : trainedLength,
            layers: Array(repeating: layer, count: try layerCount()), finalNorm: norm)
    }

    private func attention(hidden: Int, trainedLength: Int) throws(ConfigurationError) -> GroupedQueryAttention {
        let heads = try integer(keys.headCount, in: 1...1 << 16)
        var shared = heads
        if let key = keys.keyValueHeadCount {
            // A null means a key-value head for each query head, whatever the default.
            shared = try file.optionalInteger(key, in: 1...heads) ?? (file.contains(key) ? heads : sizes[key] ?? heads)
        }
        guard shared <= heads, heads % shared == 0 else {
            throw file.unsupported(
                keys.keyValueHeadCount ?? keys.headCount,
                "\(heads) query heads cannot share \(shared) key-value heads evenly")
        }
        // A null means an even division of the hidden size, whatever the default.
        let usual = file.contains(keys.headDimension) ? nil : sizes[keys.headDimension]
        let given = try file.optionalInteger(keys.headDimension, in: 1...1 << 16) ?? usual
        guard let dimension = given ?? (hidden % heads == 0 ? hidden / heads : nil),
            heads * dimension <= Self.mostFeatures
        else {
            throw file.unsupported(
                keys.hiddenSize, "\(hidden) is not \(heads) heads, and \(keys.headDimension) is not given")
        }
        return GroupedQueryAttention(
            queryHeadCount: heads, keyValueHeadCount: shared, headDimension: dimension,
            rotation: isRotary ? try rotation(headDimension: dimension, trainedLength: trainedLength) : nil)
    }

    private func rotation(headDimension: Int, trainedLength: Int) throws(ConfigurationError) -> Rotation {
        let given = try RotaryEmbedding.partialFactor(file)
        if rotatedShare == nil, let given, given != 1 {
            throw file.unsupported("partial_rotary_factor", "this family rotates whole heads only")
        }
        let dimension = Int(Double(headDimension) * (given ?? rotatedShare ?? 1))
        return try rotation(
            dimension: dimension,
            RotaryEmbedding(
                file, trainedLength: trainedLength, thetaKey: keys.theta, defaultTheta: theta, longRope: longRope))
    }

    /// Returns a rotation of the first `dimension` features of each head.
    func rotation(dimension: Int, _ embedding: RotaryEmbedding) throws(ConfigurationError) -> Rotation {
        guard dimension % 2 == 0, dimension > 0 else {
            throw file.unsupported(
                keys.headDimension, "\(dimension) features are to be rotated; an odd number does not make pairs")
        }
        if case .longRope(let scaling) = embedding.scaling {
            for (key, factors) in [("short_factor", scaling.shortFactors), ("long_factor", scaling.longFactors)]
            where factors.count != dimension / 2 {
                throw file.unsupported(
                    key, "it has \(factors.count) factors, and \(dimension / 2) pairs of features are rotated")
            }
        }
        return Rotation(embedding, dimension: dimension, pairing: pairing)
    }

    private func width(hidden: Int) throws(ConfigurationError) -> Int {
        if let given = try file.optionalInteger(keys.intermediateSize, in: Self.sizes) { return given }
        if let widthMultiple { return widthMultiple * hidden }
        return try integer(keys.intermediateSize, in: Self.sizes)
    }

    /// Activations by their names in transformers.
    private static let activations: KeyValuePairs<String, Activation> = [
        "silu": .silu, "swish": .silu, "gelu": .gelu, "gelu_new": .geluTanh, "gelu_fast": .geluTanh,
        "gelu_pytorch_tanh": .geluTanh, "relu": .relu, "relu2": .reluSquared, "xielu": .xIELU,
    ]

    private func namedActivation() throws(ConfigurationError) -> Activation {
        guard let name = try file.optionalString(keys.activation) else { return activation }
        guard let (_, found) = Self.activations.first(where: { $0.key == name }) else {
            let known = Self.activations.map(\.key).joined(separator: ", ")
            throw file.unsupported(keys.activation, "\(quoted(name)) is not supported; supported are \(known)")
        }
        return found
    }
}

extension DecoderConfiguration {
    /// Changes every layer.
    mutating func changeLayers(_ change: (inout LayerConfiguration, _ layer: Int) -> Void) {
        for index in layers.indices { change(&layers[index], index) }
    }

    /// Changes the attention of every layer with grouped-query attention.
    mutating func changeAttention(_ change: (inout GroupedQueryAttention, _ layer: Int) -> Void) {
        changeLayers { layer, index in
            guard case .groupedQuery(var attention) = layer.attention else { return }
            change(&attention, index)
            layer.attention = .groupedQuery(attention)
        }
    }

    /// Reads whether projections have biases, under Llama's keys.
    mutating func readBiases(_ file: ConfigurationFile) throws(ConfigurationError) {
        let hasAttentionBias = try file.optionalBool("attention_bias") ?? false
        let hasFeedForwardBias = try file.optionalBool("mlp_bias") ?? false
        changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasAttentionBias, hasAttentionBias)
        }
        changeFeedForward { $0.hasBias = hasFeedForwardBias }
    }

    /// Changes the feed-forward of every layer with a dense one.
    mutating func changeFeedForward(_ change: (inout FeedForward) -> Void) {
        changeLayers { layer, _ in
            guard case .dense(var feedForward) = layer.feedForward else { return }
            change(&feedForward)
            layer.feedForward = .dense(feedForward)
        }
    }

    /// Replaces the feed-forward of every layer for which `choose` returns one.
    mutating func replaceFeedForward(_ choose: (_ layer: Int) -> FeedForwardKind?) {
        changeLayers { layer, index in layer.feedForward = choose(index) ?? layer.feedForward }
    }
}

/// The kinds of attention that `layer_types` names.
enum LayerKind: String {
    case full = "full_attention"
    case sliding = "sliding_attention"
}

extension ConfigurationFile {
    /// The kind of each layer; nil if the file does not give it.
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

    /// The attention window of each layer; nil for layers that are not sliding.
    ///
    /// `layer_types` says which layers are sliding, or `isSliding` if the file does not have that key.
    func windows(
        _ window: Int?, count: Int, isSliding: (_ layer: Int) -> Bool
    ) throws(ConfigurationError) -> [Int?] {
        let kinds = try layerKinds(count: count, supported: [.full, .sliding])
        return (0..<count).map { layer in
            (kinds.map { $0[layer] == .sliding } ?? isSliding(layer)) ? window : nil
        }
    }

    /// Whether each layer has a feature, from a list of zeros and ones; nil if the file leaves the list out or empty.
    func flags(_ key: String, count: Int) throws(ConfigurationError) -> [Bool]? {
        guard has(key) else { return nil }
        let numbers = try numbers(key, in: 0...1)
        guard !numbers.isEmpty else { return nil }
        guard numbers.count == count else { throw unsupported(key, "\(numbers.count) numbers for \(count) layers") }
        return numbers.map { $0 != 0 }
    }

    /// The window of sliding layers, which defaults to `usual` if the key is missing; null means none.
    func window(usual: Int) throws(ConfigurationError) -> Int? {
        contains("sliding_window") ? try optionalInteger("sliding_window", in: DecoderReader.windows) : usual
    }

    /// Whether the file says anything of rotary parameters.
    var hasRotaryParameters: Bool { has("rope_parameters") || has("rope_scaling") }

    /// A number that defaults to `usual` if its key is missing; null means none.
    func number(_ key: String, in range: ClosedRange<Double>, usual: Double) throws(ConfigurationError) -> Double? {
        contains(key) ? try optionalNumber(key, in: range) : usual
    }

    /// Experts of intermediate size `size`, as most families describe them.
    ///
    /// - Parameter keys: possible keys of the number of experts; the first that the file has counts.
    func experts(_ keys: String..., size: Int) throws(ConfigurationError) -> ExpertFeedForward {
        let count = try integer(keys.first(where: has) ?? keys[0], in: 1...1 << 16)
        let usual = try optionalInteger("num_experts_per_tok", in: 1...count)
        let other = try optionalInteger("experts_per_token", in: 1...count)
        return ExpertFeedForward(expertCount: count, activeCount: usual ?? other ?? 1, expertSize: size)
    }

    /// Experts as DeepSeek describes them, and the first layer that has them.
    func deepSeekExperts(hasCorrection: Bool) throws(ConfigurationError) -> (
        experts: ExpertFeedForward, firstLayer: Int
    ) {
        let size = try integer("moe_intermediate_size", in: DecoderReader.sizes)
        var experts = try experts("n_routed_experts", size: size)
        experts.sharedSize = size * (try optionalInteger("n_shared_experts", in: 0...256) ?? 0)
        experts.hasRouterBias = hasCorrection
        return (experts, try optionalInteger("first_k_dense_replace", in: 0...4096) ?? 0)
    }
}

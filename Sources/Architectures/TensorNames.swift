import Topology

/// Where a family's checkpoints store each parameter: the names of tensors, and the rows within them.
///
/// It is a table, not code: a family lists the modules of its checkpoints and the parts of a layer that each holds.
public struct TensorNames: Sendable {
    /// Possible prefixes of all names but the head's; the first under which a checkpoint has an embedding counts.
    private var prefixes: [String]
    private let embedding: String
    private let embeddingProjection: String?
    private let embeddingNorm: String?
    private let positions: String?
    private var finalNorm: String
    private let headProjection: String?
    /// The head's full name, which takes no prefix of the family.
    private var head: String
    /// The text before a layer's number.
    private let layers: String
    private var modules: [LayerPart: StoredModule]

    /// A module of a layer in a checkpoint, and the parts of the layer that are stored in its rows.
    public struct StoredModule: Sendable {
        /// The module's name after the layer's number; `*` stands for the number of an expert, or of a head with a norm.
        let name: String
        /// The parts that it holds, in the order of their rows.
        let parts: [LayerPart]
        let arrangement: Arrangement
        /// Whether the matrix is stored as `[input, output]` (GPT-2's Conv1D).
        let isTransposed: Bool
        /// Whether the name is the tensor's whole name, without `.weight` or `.bias`.
        let isBare: Bool

        /// How the rows of several parts are arranged in one tensor.
        public enum Arrangement: Sendable {
            /// All rows of a part, then those of the next.
            case stacked
            /// For each key-value head: the query heads that read it, then its key, then its value.
            case byKeyValueHead
        }

        public init(
            _ name: String, _ parts: LayerPart..., arrangement: Arrangement = .stacked, isTransposed: Bool = false,
            isBare: Bool = false
        ) {
            self.name = name
            self.parts = parts
            self.arrangement = arrangement
            self.isTransposed = isTransposed
            self.isBare = isBare
        }
    }

    /// - Parameters:
    ///   - prefixes: possible prefixes of all names but the head's, the most common first.
    ///   - embeddingProjection: the matrix from embedding rows to the hidden size; nil: the family has none.
    ///   - embeddingNorm: the norm of the first layer's input; nil: the family has none.
    ///   - positions: the table of learned positions; nil: the family has none.
    ///   - headProjection: the matrix from the hidden size to the width of embedding rows; nil: the family has none.
    public init(
        prefixes: [String], embedding: String, embeddingProjection: String? = nil, embeddingNorm: String? = nil,
        positions: String? = nil, finalNorm: String, headProjection: String? = nil, head: String = "lm_head",
        layers: String, _ modules: [StoredModule]
    ) {
        self.prefixes = prefixes
        self.embedding = embedding
        self.embeddingProjection = embeddingProjection
        self.embeddingNorm = embeddingNorm
        self.positions = positions
        self.finalNorm = finalNorm
        self.headProjection = headProjection
        self.head = head
        self.layers = layers
        self.modules = Dictionary(modules.flatMap { module in module.parts.map { ($0, module) } }) { _, last in last }
    }

    /// Returns the same table with other modules for some parts, and another final norm if one is given.
    func replacing(_ changes: StoredModule..., finalNorm: String? = nil) -> TensorNames {
        var names = self
        for module in changes { for part in module.parts { names.modules[part] = module } }
        names.finalNorm = finalNorm ?? self.finalNorm
        return names
    }

    /// What tools put before all names of a model: transformers, for the decoder of a model with several parts.
    private static let wrappers = ["language_model.", "model.language_model.", "model.", "transformer."]

    /// Returns the same table with the prefix under which a checkpoint has an embedding.
    ///
    /// That is one of the family's, or one with a wrapper before it or in its place; a decoder that was saved without
    /// its head has none.
    ///
    /// - Parameter holds: whether the checkpoint has a tensor of that name.
    public func located(_ holds: (_ tensor: String) -> Bool) -> TensorNames {
        var located = self
        let wrapped = Self.wrappers.flatMap { wrapper in prefixes.map { wrapper + $0 } + [wrapper] }
        if let prefix = (prefixes + wrapped + [""]).first(where: { holds("\($0)\(embedding).weight") }) {
            located.prefixes = [prefix]
        }
        let heads = [head] + Self.wrappers.map { $0 + head }
        if let found = heads.first(where: { head in Self.headSuffixes.contains { holds(head + $0) } }) {
            located.head = found
        }
        return located
    }

    private static let headSuffixes = [".weight", ".weight_packed"]

    private var prefix: String { prefixes[0] }

    /// The name of the module that holds a parameter, without `.weight` or `.bias`; for experts, the first one's.
    public func module(_ name: ParameterName) -> String {
        switch name {
        case .embedding: prefix + embedding
        case .embeddingProjection: prefix + (embeddingProjection ?? "\(name)")
        case .embeddingNorm: prefix + (embeddingNorm ?? "\(name)")
        case .positions: prefix + (positions ?? "\(name)")
        case .headProjection: prefix + (headProjection ?? "\(name)")
        case .finalNorm: prefix + finalNorm
        case .head: head
        case .layer(let layer, let part): layerPrefix + "\(layer)." + moduleName(of: part, expert: 0)
        case .companion(let name): name
        }
    }

    /// The name of the module that holds a part, without the layer's prefix.
    ///
    /// A part that the family's checkpoints do not store gets a name too, so that messages can name it.
    private func moduleName(of part: LayerPart, expert: Int) -> String {
        guard let module = modules[part] else { return "\(part)" }
        return module.name.split(separator: "*", omittingEmptySubsequences: false).joined(separator: "\(expert)")
    }

    private var layerPrefix: String { prefix + layers }

    /// The layer that a tensor belongs to; nil for tensors outside the layers.
    public func layer(of tensor: String) -> Int? {
        guard tensor.hasPrefix(layerPrefix) else { return nil }
        return Int(tensor.dropFirst(layerPrefix.count).prefix { $0 != "." })
    }

    /// The tensors that hold a parameter: one, or one for each expert or head.
    public func sources(of parameter: Parameter, in decoder: DecoderConfiguration) -> [ParameterSource] {
        let suffix = parameter.role == .bias ? ".bias" : ".weight"
        let offset = parameter.role == .norm ? decoder.norm(parameter.name)?.weightOffset ?? 0 : 0
        guard case .layer(let layer, let part) = parameter.name, let module = modules[part] else {
            return [
                ParameterSource(
                    module: self.module(parameter.name), suffix: suffix, rows: StoredRows(),
                    storedRows: parameter.shape[0], isTransposed: false, offset: offset)
            ]
        }
        let rows = storedRows(of: parameter, part, module, in: decoder.layers[layer], decoder, layer)
        // The elements of a norm are those of all heads.
        let isDivided = module.name.contains("*")
        let isPerHead = isDivided && parameter.role == .norm
        let heads = parameter.shape[0] / decoder.layers[layer].attention.headDimension
        return (0..<(isPerHead ? heads : isDivided ? parameter.shape[0] : 1)).map { number in
            ParameterSource(
                module: layerPrefix + "\(layer)." + moduleName(of: part, expert: number),
                suffix: module.isBare ? "" : suffix, rows: rows.map,
                storedRows: isPerHead ? rows.count / heads : rows.count,
                isTransposed: module.isTransposed && parameter.role == .matrix, offset: offset)
        }
    }

    /// Which rows of its module hold a part, and how many rows the module has in total.
    private func storedRows(
        of parameter: Parameter, _ part: LayerPart, _ module: StoredModule, in layer: LayerConfiguration,
        _ decoder: DecoderConfiguration, _ index: Int
    ) -> (map: StoredRows, count: Int) {
        var map = StoredRows()
        if [.query, .key, .queryNorm, .keyNorm].contains(part), let rotation = layer.attention.rotation,
            rotation.pairing == .interleaved
        {
            if case .groupedQuery(let attention) = layer.attention {
                precondition(!attention.valuesAreKeys, "values would be permuted as keys are")
            }
            map.headDimension = layer.attention.headDimension
            map.interleaved = rotation.dimension
        }
        // The rows of a matrix or the elements of a vector; with experts, those of one expert.
        let rowsOf = { (parameter: Parameter) in
            parameter.shape[parameter.role == .matrix ? parameter.shape.count - 2 : parameter.shape.count - 1]
        }
        guard module.parts.count > 1 else { return (map, rowsOf(parameter)) }
        let siblings = Dictionary(
            uniqueKeysWithValues: decoder.parameters(of: layer, at: index).compactMap { other -> (LayerPart, Int)? in
                guard case .layer(_, let part) = other.name, other.role == parameter.role else { return nil }
                return (part, rowsOf(other))
            })
        let counts = module.parts.map { siblings[$0] ?? 0 }
        let before = counts.prefix(module.parts.firstIndex(of: part) ?? 0).reduce(0, +)
        let total = counts.reduce(0, +)
        switch module.arrangement {
        case .stacked:
            map.offset = before
        case .byKeyValueHead:
            let groups = layer.attention.keyValueHeadCount
            map.offset = before / groups
            map.groupRows = rowsOf(parameter) / groups
            map.groupStride = total / groups
        }
        return (map, total)
    }

    /// Why a tensor that is no parameter of the model does not affect its output; nil if that is unknown.
    public func unusedKind(of tensor: String, layerCount: Int) -> UnusedTensorKind? {
        if let layer = layer(of: tensor), layer >= layerCount { return .beyondTheLast }
        return UnusedTensorKind.known.first { $0.matches(tensor) }
    }

    /// The modules outside the layers.
    public var outerModules: [String] {
        let others: [(ParameterName, String?)] = [
            (.embeddingProjection, embeddingProjection), (.embeddingNorm, embeddingNorm), (.positions, positions),
            (.headProjection, headProjection),
        ]
        return [module(.embedding), module(.finalNorm), module(.head)]
            + others.compactMap { name, stored in stored.map { _ in module(name) } }
    }

    /// The tensor names of Llama in Hugging Face transformers, which most families share.
    public static let huggingFace = TensorNames(
        prefixes: ["model."], embedding: "embed_tokens", finalNorm: "norm", layers: "layers.",
        [
            StoredModule("input_layernorm", .attentionNorm),
            StoredModule("self_attn.q_proj", .query),
            StoredModule("self_attn.k_proj", .key),
            StoredModule("self_attn.v_proj", .value),
            StoredModule("self_attn.o_proj", .attentionOutput),
            StoredModule("self_attn.q_norm", .queryNorm),
            StoredModule("self_attn.k_norm", .keyNorm),
            StoredModule("post_attention_layernorm", .feedForwardNorm),
            StoredModule("mlp.gate_proj", .gate),
            StoredModule("mlp.up_proj", .up),
            StoredModule("mlp.down_proj", .down),
        ])
}

extension TensorNames {
    /// Llama's names, plus a router and a module for each expert.
    static let expertsInMLP = TensorNames.huggingFace.replacing(
        .init("mlp.gate", .router), .init("mlp.experts.*.gate_proj", .expertGate),
        .init("mlp.experts.*.up_proj", .expertUp), .init("mlp.experts.*.down_proj", .expertDown),
        .init("mlp.shared_experts.gate_proj", .sharedGate), .init("mlp.shared_experts.up_proj", .sharedUp),
        .init("mlp.shared_experts.down_proj", .sharedDown))
}

/// A stored tensor that holds a parameter, and the rows that belong to the parameter.
public struct ParameterSource: Sendable {
    /// The module's name.
    public let module: String
    /// The suffix of the tensor's name: `.weight`, `.bias`, or empty.
    public let suffix: String
    /// Which of the stored rows belong to the parameter.
    public let rows: StoredRows
    /// Rows that the tensor must have.
    public let storedRows: Int
    /// Whether a matrix is stored as `[input, output]`.
    public let isTransposed: Bool
    /// The number added to every stored element (`NormConfiguration.weightOffset`).
    public let offset: Float

    /// The tensor's name.
    public var tensor: String { module + suffix }
}

/// Where the rows of a parameter are among the rows of the tensor that holds it.
public struct StoredRows: Equatable, Sendable {
    /// The index of the stored row that holds the parameter's first row.
    var offset = 0
    /// Rows of one contiguous group, and the distance between groups in stored rows; 0: all rows are contiguous.
    var groupRows = 0
    var groupStride = 0
    /// Features per head, and how many of them, from the first, are stored as interleaved pairs; 0: none.
    ///
    /// Kernels want the first elements of all pairs before the second ones.
    var headDimension = 0
    var interleaved = 0

    public init() {}

    /// Whether every row has the same index in the tensor.
    public var isIdentity: Bool { self == StoredRows() }

    /// The index of the stored row that holds a row of the parameter.
    public func stored(_ row: Int) -> Int {
        var row = row
        if interleaved > 0 {
            let feature = row % headDimension
            if feature < interleaved {
                let half = interleaved / 2
                row += (feature < half ? 2 * feature : 2 * (feature - half) + 1) - feature
            }
        }
        guard groupRows > 0 else { return offset + row }
        return offset + row / groupRows * groupStride + row % groupRows
    }

    /// The stored rows that hold a range of rows, as contiguous runs in the order of that range.
    public func runs(of rows: Range<Int>) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        for row in rows {
            let stored = stored(row)
            if let last = runs.last, last.upperBound == stored {
                runs[runs.count - 1] = last.lowerBound..<stored + 1
            } else {
                runs.append(stored..<stored + 1)
            }
        }
        return runs
    }
}

/// A kind of tensor that checkpoints contain but decoding does not need.
public struct UnusedTensorKind: Sendable {
    /// Why the tensor is not needed, in a few words for a warning.
    public let reason: String
    /// Whether it is too common to deserve a warning.
    public let isUsual: Bool
    let matches: @Sendable (String) -> Bool

    private static func endings(_ reason: String, isUsual: Bool = false, _ endings: String...) -> UnusedTensorKind {
        UnusedTensorKind(reason: reason, isUsual: isUsual) { name in endings.contains { name.hasSuffix($0) } }
    }

    private static func parts(_ reason: String, _ beginnings: String...) -> UnusedTensorKind {
        UnusedTensorKind(reason: reason, isUsual: false) { name in
            name.split(separator: ".").contains { part in beginnings.contains { part.hasPrefix($0) } }
        }
    }

    /// The kinds that are recognized by tensor name.
    static let known = [
        endings(
            "rotary angles are computed", isUsual: true, ".rotary_emb.inv_freq", "rotary_pos_emb.inv_freq"),
        // Causal masks that GPT-2, GPT-J and GPT-NeoX store as buffers.
        endings("masks are computed", isUsual: true, ".attn.bias", ".attention.bias"),
        endings("rotary angles are computed", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached"),
        // xIELU's constants, which are the same in every model.
        endings("constants", isUsual: true, ".act_fn.beta", ".act_fn.eps"),
        endings("masks and positions are computed", ".masked_bias", ".position_ids"),
        // The cache computes its own scales; vLLM also ignores these unless it uses them for an fp8 cache.
        endings(
            "the cache has scales of its own", ".k_scale", ".v_scale", ".q_scale", ".prob_scale", ".kv_scale",
            ".k_proj.output_scale", ".v_proj.output_scale", ".k_zero_point", ".v_zero_point"),
        parts("tokens are not proposed ahead", "mtp", "nextn", "eagle", "medusa"),
        UnusedTensorKind(reason: "only the language model's head is run", isUsual: false) { name in
            ["score.", "classifier.", "v_head.", "value_head.", "reward_head.", "qa_outputs."].contains {
                name.hasPrefix($0)
            }
        },
    ]

    static let beyondTheLast = UnusedTensorKind(
        reason: "config.json counts fewer layers", isUsual: false, matches: { _ in false })
}

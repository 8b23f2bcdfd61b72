import Architectures
import Topology

/// A question about the cards that one model needs.
public struct SizingQuestion {
    /// The model's name, for the answer.
    public var model: String
    /// How the model is stored.
    public var storage: StorageChoice
    /// Alternative storage to compare with; a failure says why an alternative is impossible.
    public var others: [(change: String, storage: Result<StorageChoice, any Error>)] = []
    /// Bytes of a card.
    public var memory: Double
    /// Fraction of a card's bytes that may be used; nil: the profile's.
    public var utilization: Double?
    /// The context length to hold; nil: the longest that fits.
    public var length: Int?
    /// The number of cards; nil: the fewest.
    public var cards: Int?
    /// The plan for the cards; nil: it is chosen.
    public var plan: ParallelPlan?
    /// The number of concurrent sequences.
    public var batch = 1
    /// The read bandwidth of a card in gigabytes (10⁹ bytes) per second; nil: the profile's.
    public var bandwidth: Double?
    /// The cost of an all-reduce; nil: unknown.
    public var link: LinkModel?
    /// Whether the model has weights; `generate` refuses to run those beyond the model's own limit.
    public var hasWeights = false
    /// Remarks about the origin of the sizes, for the reader.
    public var notes: [String] = []

    public init(model: String, storage: StorageChoice, memory: Double) {
        self.model = model
        self.storage = storage
        self.memory = memory
    }
}

/// The answer of `sizing plan`, which is also the object of its `--format json`.
public struct SizingAnswer: Encodable {
    let model: String
    let profile: String
    let parameters: Int
    /// The fewest cards; null: not even the most cards that the profile allows are enough.
    @OrNull var minimalCards: Int?
    @OrNull var maximumLength: Int?
    @OrNull var lengthByMemory: Int?
    let modelLimit: Int
    @OrNull var tensorDegree: Int?
    @OrNull var pipelineDegree: Int?
    let memoryBytes: Int
    let utilization: Double
    let quantization: String
    let cacheType: String
    let batch: Int
    @OrNull var perCard: PerCard?
    let ranks: [PerCard]
    let cacheBytesPerToken: Int
    @OrNull var maximumBatch: Int?
    let bindingLimit: String
    @OrNull var whyNotFewer: String?
    /// Why the requested cards are not enough.
    @OrNull var whyNot: String?
    let tried: [Tried]
    @OrNull var decodeBound: Double?
    @OrNull var readMilliseconds: Double?
    @OrNull var communicationMilliseconds: Double?
    let memoryBandwidth: Double
    let alternatives: [Alternative]
    let warnings: [String]
    let notes: [String]

    /// Bytes of one card at the answer's length.
    struct PerCard: Encodable {
        let rank: Int
        let usable: Int
        let weights: Int
        let cache: Int
        let activations: Int
        let overhead: Int
        let free: Int

        enum CodingKeys: String, CodingKey {
            case rank
            case usable = "usable_bytes"
            case weights
            case cache = "kv_cache"
            case activations
            case overhead
            case free
        }
    }

    struct Tried: Encodable {
        let cards: Int
        let reason: String
    }

    /// The result of another choice.
    struct Alternative: Encodable {
        let change: String
        @OrNull var quantization: String?
        @OrNull var cacheType: String?
        @OrNull var minimalCards: Int?
        @OrNull var cards: Int?
        @OrNull var tensorDegree: Int?
        @OrNull var pipelineDegree: Int?
        /// The longest context that memory allows on `cards`.
        @OrNull var maximumLength: Int?
        @OrNull var decodeBound: Double?
        /// Why there is no answer.
        @OrNull var reason: String?

        init(
            change: String, quantization: String? = nil, cacheType: String? = nil, minimalCards: Int? = nil,
            cards: Int? = nil, tensorDegree: Int? = nil, pipelineDegree: Int? = nil, maximumLength: Int? = nil,
            decodeBound: Double? = nil, reason: String? = nil
        ) {
            self.change = change
            self.quantization = quantization
            self.cacheType = cacheType
            self.minimalCards = minimalCards
            self.cards = cards
            self.tensorDegree = tensorDegree
            self.pipelineDegree = pipelineDegree
            self.maximumLength = maximumLength
            self.decodeBound = decodeBound
            self.reason = reason
        }

        enum CodingKeys: String, CodingKey {
            case change
            case quantization
            case cacheType = "kv_cache_dtype"
            case minimalCards = "min_cards"
            case cards
            case tensorDegree = "tensor_parallel_size"
            case pipelineDegree = "pipeline_parallel_size"
            case maximumLength = "max_model_len"
            case decodeBound = "decode_tokens_per_s_bound"
            case reason
        }
    }

    enum CodingKeys: String, CodingKey {
        case model
        case profile
        case parameters
        case minimalCards = "min_cards"
        case maximumLength = "max_model_len"
        case lengthByMemory = "max_model_len_by_memory"
        case modelLimit = "model_limit"
        case tensorDegree = "tensor_parallel_size"
        case pipelineDegree = "pipeline_parallel_size"
        case memoryBytes = "memory_bytes"
        case utilization
        case quantization
        case cacheType = "kv_cache_dtype"
        case batch
        case perCard = "per_card"
        case ranks
        case cacheBytesPerToken = "kv_bytes_per_token"
        case maximumBatch = "max_batch"
        case bindingLimit = "binding_limit"
        case whyNotFewer = "why_not_fewer"
        case whyNot = "why_not"
        case tried
        case decodeBound = "decode_tokens_per_s_bound"
        case readMilliseconds = "read_ms_per_token"
        case communicationMilliseconds = "communication_ms_per_token"
        case memoryBandwidth = "memory_bandwidth_gb_per_s"
        case alternatives
        case warnings
        case notes
    }

    /// Answers a question, with the arithmetic.
    ///
    /// - Throws: `SizingError.badPlan` if the requested cards cannot share the model.
    public init(
        _ question: SizingQuestion, decoder: DecoderConfiguration, profile: MemoryProfile
    ) throws(SizingError) {
        let search = try PlanSearch(question, decoder: decoder, profile: profile)
        let (main, chosen, length) = (search.main, search.chosen, search.usableLength)
        let demands = chosen.option?.demands

        model = question.model
        self.profile = profile.name
        parameters = decoder.parameterCount
        modelLimit = decoder.positionLimit
        memoryBytes = clamped(question.memory)
        utilization = main.utilization
        quantization = main.storage.name
        cacheType = main.storage.cacheType.rawValue
        batch = question.batch
        memoryBandwidth = search.bandwidth / 1e9
        minimalCards = chosen.fewest.option?.demands.plan.rankCount
        lengthByMemory = chosen.option?.longestLength
        maximumLength = length
        tensorDegree = demands?.plan.tensorDegree
        pipelineDegree = demands?.plan.pipelineDegree
        tried = chosen.fewest.tried.prefix(8).map { Tried(cards: $0.cards, reason: $0.reason.description) }
        whyNotFewer = chosen.fewest.tried.first.map { "\(counted($0.cards, "card")): \($0.reason)" }
        whyNot = chosen.reason.map { reason in
            let asked = question.plan.map { "\($0.tensorDegree) x \($0.pipelineDegree)" }
            return "\(asked ?? counted(question.cards ?? 0, "card")): \(reason)"
        }
        let one = CardDemand(
            decoder, plan: ParallelPlan(tensorDegree: 1, pipelineDegree: 1), rank: 0, storage: main.storage,
            profile: profile)
        cacheBytesPerToken = clamped(one.cachePerToken)
        if let demands, let length {
            let ranks = demands.cards.enumerated().map { rank, card in
                PerCard(card, rank: rank, length: length, batch: question.batch, usable: main.usable)
            }
            self.ranks = ranks
            perCard = ranks[demands.worst(length: length, batch: question.batch).rank]
            maximumBatch = main.largestBatch(demands, length: length)
        } else {
            (ranks, perCard, maximumBatch) = ([], nil, nil)
        }
        let bound = demands.flatMap { demands in length.map { search.bound(demands, length: $0) } }
        decodeBound = bound?.tokensPerSecond
        readMilliseconds = bound?.readMilliseconds
        communicationMilliseconds = bound?.communicationMilliseconds
        bindingLimit = search.bindingLimit
        warnings = try search.changesWithinRange() + search.warningsAboutLength()
        alternatives = search.alternatives()
        notes = question.notes
    }
}

extension SizingAnswer.PerCard {
    init(_ card: CardDemand, rank: Int, length: Int, batch: Int, usable: Double) {
        self.init(
            rank: rank, usable: clamped(usable), weights: clamped(card.weights),
            cache: clamped(card.cache(length: length, batch: batch)),
            activations: clamped(card.activations(length: length, batch: batch)), overhead: clamped(card.overhead),
            free: clamped(max(0, usable - card.total(length: length, batch: batch))))
    }
}

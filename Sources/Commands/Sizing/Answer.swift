import Architectures
import CostModel
import Foundation
import ModelOptions
import ProgramEntry
import Tensors
import Topology

/// What `sizing plan` answers.
struct Answer: Encodable {
    let model: String
    let profile: String
    let parameters: Int
    /// Null: it does not fit on the most cards that the profile allows.
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
    /// Why the cards that were asked for will not do.
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

    /// What another choice would give.
    struct Alternative: Encodable {
        let change: String
        let quantization: String
        let cacheType: String
        @OrNull var minimalCards: Int?
        @OrNull var cards: Int?
        @OrNull var tensorDegree: Int?
        @OrNull var pipelineDegree: Int?
        /// By memory, on `cards`.
        @OrNull var maximumLength: Int?
        @OrNull var decodeBound: Double?
        /// Why there is no answer.
        @OrNull var reason: String?

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

    init(_ plan: Plan) throws {
        let model = try PlannedModel(named: plan.model)
        var profile = try MemoryProfile(named: plan.profile)
        if let tokens = plan.maxNumBatchedTokens { profile.stepTokens = tokens.count }
        let options = plan.options
        let memory = plan.memory.bytes(ofGigabyte: profile.nominalGigabyte)
        let bandwidth = (plan.memoryBandwidth ?? profile.memoryBandwidth) * 1e9
        let link = try plan.interconnect.map(Self.link)
        let decoder = model.decoder
        let batch = plan.batch
        let asked = plan.maxModelLen == "auto" ? nil : TokenCount(argument: plan.maxModelLen)?.count
        // A model counts as running if it holds what is asked for, or a context of some use.
        let needed =
            asked ?? (profile.doublesLength ? profile.minimalLength : min(profile.minimalLength, decoder.positionLimit))
        func planner(_ storage: StorageChoice, _ profile: MemoryProfile) -> CardPlanner {
            CardPlanner(decoder, profile: profile, storage: storage, memory: memory, utilization: plan.utilization)
        }
        let main = planner(
            try model.storage(
                scheme: plan.quantization, kvCacheType: plan.kvCacheDtype, options: options, profile: profile), profile)
        let fixed = try plan.fixedPlan()
        let chosen = try main.choice(fixed: fixed, cards: Int(plan.cards), length: needed, batch: batch)

        self.model = plan.model
        self.profile = profile.name
        parameters = decoder.parameterCount
        modelLimit = decoder.positionLimit
        memoryBytes = clamped(memory)
        utilization = main.utilization
        quantization = main.storage.name
        cacheType = main.storage.cacheType.rawValue
        self.batch = batch
        memoryBandwidth = bandwidth / 1e9
        let fewestCount = chosen.fewest.option?.demands.plan.rankCount
        let byMemory = chosen.option?.longestLength
        minimalCards = fewestCount
        lengthByMemory = byMemory
        let usable = chosen.option?.longestLength.map { min($0, asked ?? decoder.positionLimit) }
        maximumLength = usable
        tensorDegree = chosen.option?.demands.plan.tensorDegree
        pipelineDegree = chosen.option?.demands.plan.pipelineDegree
        tried = chosen.fewest.tried.prefix(8).map { Tried(cards: $0.cards, reason: $0.reason.description) }
        whyNotFewer = chosen.fewest.tried.first.map { "\(counted($0.cards, "card")): \($0.reason)" }
        whyNot = chosen.reason.map { reason in
            "\(fixed.map { "\($0.tensorDegree) x \($0.pipelineDegree)" } ?? plan.cards) cards: \(reason)"
        }
        let one = CardDemand(
            decoder, plan: ParallelPlan(tensorDegree: 1, pipelineDegree: 1), rank: 0, storage: main.storage,
            profile: profile)
        cacheBytesPerToken = clamped(one.cachePerToken)
        if let demands = chosen.option?.demands, let usable {
            ranks = demands.cards.enumerated().map { rank, card in
                PerCard(card, rank: rank, length: usable, batch: batch, usable: main.usable)
            }
            perCard = ranks[demands.worst(length: usable, batch: batch).rank]
            maximumBatch = main.largestBatch(demands, length: usable)
            let bound = DecodeBound(decoder, demands: demands, length: usable, bandwidth: bandwidth, link: link)
            decodeBound = bound.tokensPerSecond
            readMilliseconds = bound.readMilliseconds
            communicationMilliseconds = bound.communicationMilliseconds
        } else {
            (ranks, perCard, maximumBatch) = ([], nil, nil)
            (decodeBound, readMilliseconds, communicationMilliseconds) = (nil, nil, nil)
        }
        let isDivided = if case .impossible? = chosen.fewest.tried.first?.reason { true } else { false }
        bindingLimit =
            chosen.option == nil && isDivided
            ? "heads" : byMemory.map { $0 < decoder.positionLimit } ?? true ? "memory" : "model"

        var warnings: [String] = []
        for entry in profile.coefficientRanges {
            for value in [entry.low, entry.high] where value != entry.value {
                let other = try planner(main.storage, profile.setting(entry.name, to: value))
                    .choice(fixed: fixed, cards: Int(plan.cards), length: needed, batch: batch)
                let count = other.fewest.option?.demands.plan.rankCount
                let length = other.option?.longestLength
                let isSame = count == fewestCount && (length == byMemory || !profile.doublesLength)
                guard !isSame else { continue }
                warnings.append(
                    "the answer flips within the profile's range: with \(entry.name) \(shown(value)) instead of \(shown(entry.value)) it is "
                        + "\(count.map { counted($0, "card") } ?? "nothing that fits"), \(length.map(shortLength) ?? "-")"
                )
            }
        }
        if let asked, let found = byMemory, found < asked {
            warnings.append("\(asked) tokens do not fit on these cards; \(found) do")
        }
        if let found = usable, found > decoder.positionLimit {
            warnings.append(
                "\(found) tokens are more than the \(decoder.positionLimit) that the model was made for"
                    + (model.hasWeights ? ": generate refuses them" : ""))
        }
        self.warnings = warnings

        var alternatives: [Alternative] = []
        func add(_ change: String, _ planner: CardPlanner, plan parallel: ParallelPlan?, findsFewest: Bool) {
            let option = parallel.flatMap { planner.option($0, batch: batch) }
            let fewest = findsFewest ? planner.fewestCards(length: needed, batch: batch).option : nil
            let length = option?.longestLength
            alternatives.append(
                Alternative(
                    change: change, quantization: planner.storage.name, cacheType: planner.storage.cacheType.rawValue,
                    minimalCards: fewest?.demands.plan.rankCount, cards: parallel?.rankCount,
                    tensorDegree: parallel?.tensorDegree, pipelineDegree: parallel?.pipelineDegree,
                    maximumLength: length,
                    decodeBound: option.flatMap { option in
                        length.map {
                            DecodeBound(
                                decoder, demands: option.demands, length: min($0, usable ?? $0), bandwidth: bandwidth,
                                link: link
                            ).tokensPerSecond
                        }
                    },
                    reason: option == nil
                        ? parallel.flatMap {
                            planner.obstacle(tensorDegree: $0.tensorDegree, pipelineDegree: $0.pipelineDegree)
                        }
                        : nil))
        }
        let present = chosen.option?.demands.plan ?? fixed
        let schemes =
            profile.accounting == .runtime ? ["none", "int8", "w8a8", "int4"] : StoredScheme.all.map(\.name)
        for scheme in schemes {
            for cache in ["float16", "int8"] {
                let change = "\(scheme) weights, \(cache) cache"
                do {
                    let storage = try model.storage(
                        scheme: scheme, kvCacheType: cache, options: options, profile: profile, isHypothetical: true)
                    let isMain = storage.name == main.storage.name && storage.cacheType == main.storage.cacheType
                    if !isMain { add(change, planner(storage, profile), plan: present, findsFewest: true) }
                } catch {
                    // What is not asked for may be impossible: group sizes do not suit every shape.
                    alternatives.append(
                        Alternative(
                            change: change, quantization: scheme, cacheType: cache, minimalCards: nil, cards: nil,
                            tensorDegree: nil, pipelineDegree: nil, maximumLength: nil, decodeBound: nil,
                            reason: "\(error)"))
                }
            }
        }
        if let present {
            for (tensor, pipeline) in main.mixtures(cards: present.rankCount) where tensor != present.tensorDegree {
                add(
                    "\(tensor) x \(pipeline)", main, plan: ParallelPlan(tensorDegree: tensor, pipelineDegree: pipeline),
                    findsFewest: false)
            }
            if let more = main.cardCounts.first(where: { $0 > present.rankCount }) {
                let parallel = main.mixtures(cards: more).first {
                    main.obstacle(tensorDegree: $0.tensor, pipelineDegree: $0.pipeline) == nil
                }
                add(
                    "\(more) cards", main,
                    plan: parallel.map { ParallelPlan(tensorDegree: $0.tensor, pipelineDegree: $0.pipeline) },
                    findsFewest: false)
            }
        }
        self.alternatives = alternatives
        notes = model.notes
    }

    /// The fit of a bench's report.
    private static func link(_ path: String) throws -> LinkModel {
        struct Report: Decodable {
            struct Fit: Decodable {
                let alpha_us: Double
                let beta_ns_per_byte: Double
            }
            let fit: Fit?
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw RunError(.missingInput, "no such file: \(path)")
        }
        guard let fit = try? JSONDecoder().decode(Report.self, from: data).fit,
            (0...1e12).contains(fit.alpha_us), (0...1e12).contains(fit.beta_ns_per_byte)
        else {
            throw RunError(
                .badInput, "\(path) has no fit of alpha and beta; make it with all_reduce_bench --format json")
        }
        return LinkModel(alphaMicroseconds: fit.alpha_us, betaNanosecondsPerByte: fit.beta_ns_per_byte)
    }
}

extension Answer.PerCard {
    init(_ card: CardDemand, rank: Int, length: Int, batch: Int, usable: Double) {
        self.init(
            rank: rank, usable: clamped(usable), weights: clamped(card.weights),
            cache: clamped(card.cache(length: length, batch: batch)),
            activations: clamped(card.activations(length: length, batch: batch)), overhead: clamped(card.overhead),
            free: clamped(max(0, usable - card.total(length: length, batch: batch))))
    }
}

/// A whole number of bytes, however absurd.
func clamped(_ bytes: Double) -> Int { Int(min(max(bytes, 0), 0x1p62)) }

/// `1 card`, `2 cards`.
func counted(_ count: Int, _ thing: String) -> String { "\(count) \(thing)\(count == 1 ? "" : "s")" }

/// A number with three digits.
func shown(_ value: Double) -> String {
    guard value != 0, value.isFinite else { return value == 0 ? "0" : "-" }
    guard abs(value) < 1e6 else {
        let exponent = Int(log10(abs(value)).rounded(.down))
        return "\((value / pow(10, Double(exponent - 2))).rounded() / 100)e\(exponent)"
    }
    let unit = pow(10, 2 - log10(abs(value)).rounded(.down))
    let rounded = (value * unit).rounded() / unit
    return rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
}

/// A value of which JSON says `null` where there is none: who reads it finds the key.
@propertyWrapper struct OrNull<Value: Encodable>: Encodable {
    var wrappedValue: Value?

    init(wrappedValue: Value?) {
        self.wrappedValue = wrappedValue
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
    }
}

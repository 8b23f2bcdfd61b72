import Architectures
import Messages
import Topology

/// The search for the plan that answers a question, and for the choices beside it.
struct PlanSearch {
    let question: SizingQuestion
    let decoder: DecoderConfiguration
    let profile: MemoryProfile
    /// The planner for the storage that the question names.
    let main: CardPlanner
    let chosen: CardPlanner.Choice
    /// The context length with which a model counts as running: the requested one, or else one of a useful length.
    let neededLength: Int
    /// Bytes that a card reads in a second.
    let bandwidth: Double

    /// Finds the plan.
    ///
    /// - Throws: `SizingError.badPlan` if the requested cards cannot share the model.
    init(_ question: SizingQuestion, decoder: DecoderConfiguration, profile: MemoryProfile) throws(SizingError) {
        self.question = question
        self.decoder = decoder
        self.profile = profile
        bandwidth = (question.bandwidth ?? profile.memoryBandwidth) * 1e9
        neededLength =
            question.length
            ?? (profile.doublesLength ? profile.minimalLength : min(profile.minimalLength, decoder.positionLimit))
        main = CardPlanner(
            decoder, profile: profile, storage: question.storage, memory: question.memory,
            utilization: question.utilization)
        chosen = try main.choice(
            fixed: question.plan, cards: question.cards, length: neededLength, batch: question.batch)
    }

    /// The context length that is used on the chosen cards; nil if none fits.
    var usableLength: Int? {
        chosen.option?.longestLength.map { min($0, question.length ?? decoder.positionLimit) }
    }

    /// What keeps the context from being longer, or the cards from being fewer.
    var bindingLimit: String {
        if chosen.option == nil, case .impossible? = chosen.fewest.tried.first?.reason { return "heads" }
        return chosen.option?.longestLength.map { $0 < decoder.positionLimit } ?? true ? "memory" : "model"
    }

    /// The most tokens a second that the memory and the link allow.
    func bound(_ demands: CardPlanner.Demands, length: Int) -> DecodeBound {
        DecodeBound(decoder, demands: demands, length: length, bandwidth: bandwidth, link: question.link)
    }

    /// A warning for each end of a coefficient's range that would give another answer.
    func changesWithinRange() throws(SizingError) -> [String] {
        let count = chosen.fewest.option?.demands.plan.rankCount
        let length = chosen.option?.longestLength
        var warnings: [String] = []
        for entry in profile.coefficientRanges {
            for value in [entry.low, entry.high] where value != entry.value {
                let other = try planner(main.storage, profile.setting(entry.name, to: value))
                    .choice(fixed: question.plan, cards: question.cards, length: neededLength, batch: question.batch)
                let otherCount = other.fewest.option?.demands.plan.rankCount
                let otherLength = other.option?.longestLength
                guard otherCount != count || (otherLength != length && profile.doublesLength) else { continue }
                warnings.append(
                    "the answer flips within the profile's range: with \(entry.name) \(shown(value)) instead of \(shown(entry.value)) it is "
                        + "\(otherCount.map { counted($0, "card") } ?? "nothing that fits"), \(otherLength.map(shortLength) ?? "-")"
                )
            }
        }
        return warnings
    }

    /// Warnings about a length that does not fit, or that the model was not made for.
    func warningsAboutLength() -> [String] {
        var warnings: [String] = []
        if let asked = question.length, let found = chosen.option?.longestLength, found < asked {
            warnings.append("\(asked) tokens do not fit on these cards; \(found) do")
        }
        if let found = usableLength, found > decoder.positionLimit {
            warnings.append(
                "\(found) tokens are more than the \(decoder.positionLimit) that the model was made for"
                    + (question.hasWeights ? ": generate refuses them" : ""))
        }
        return warnings
    }

    /// The results of other storage, of other plans for the same cards, and of the next number of cards.
    func alternatives() -> [SizingAnswer.Alternative] {
        let present = chosen.option?.demands.plan ?? question.plan
        var found: [SizingAnswer.Alternative] = []
        for (change, result) in question.others {
            switch result {
            case .success(let storage):
                let isMain = storage.name == main.storage.name && storage.cacheType == main.storage.cacheType
                guard !isMain else { continue }
                found.append(alternative(change, planner(storage, profile), plan: present, findsFewest: true))
            case .failure(let error):
                // An alternative that nobody requested may be impossible: group sizes do not suit every shape.
                found.append(SizingAnswer.Alternative(change: change, reason: "\(error)"))
            }
        }
        guard let present else { return found }
        for (tensor, pipeline) in main.mixtures(cards: present.rankCount) where tensor != present.tensorDegree {
            let plan = ParallelPlan(tensorDegree: tensor, pipelineDegree: pipeline)
            found.append(alternative("\(tensor) x \(pipeline)", main, plan: plan, findsFewest: false))
        }
        if let more = main.cardCounts.first(where: { $0 > present.rankCount }) {
            let plan = main.mixtures(cards: more)
                .map { ParallelPlan(tensorDegree: $0.tensor, pipelineDegree: $0.pipeline) }
                .first { main.obstacle($0) == nil }
            found.append(alternative("\(more) cards", main, plan: plan, findsFewest: false))
        }
        return found
    }

    private func planner(_ storage: StorageChoice, _ profile: MemoryProfile) -> CardPlanner {
        CardPlanner(
            decoder, profile: profile, storage: storage, memory: question.memory, utilization: question.utilization)
    }

    private func alternative(
        _ change: String, _ planner: CardPlanner, plan: ParallelPlan?, findsFewest: Bool
    ) -> SizingAnswer.Alternative {
        let option = plan.flatMap { planner.option($0, batch: question.batch) }
        let fewest = findsFewest ? planner.fewestCards(length: neededLength, batch: question.batch).option : nil
        return SizingAnswer.Alternative(
            change: change, quantization: planner.storage.name, cacheType: planner.storage.cacheType.rawValue,
            minimalCards: fewest?.demands.plan.rankCount, cards: plan?.rankCount,
            tensorDegree: plan?.tensorDegree, pipelineDegree: plan?.pipelineDegree,
            maximumLength: option?.longestLength,
            decodeBound: option.flatMap { option in
                option.longestLength.map {
                    bound(option.demands, length: min($0, usableLength ?? $0)).tokensPerSecond
                }
            },
            reason: option == nil ? plan.flatMap(planner.obstacle) : nil)
    }
}

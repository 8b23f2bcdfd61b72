import Bootstrap
import Generation
import ModelOptions
import ProgramEntry

/// Whether prompts fit the model, and what the run must be planned for.
struct PromptLimits {
    let needs: RunNeeds

    init(
        _ prompts: [[Int32]], options: GenerationOptions, model: OpenedModel, arguments: ModelArguments,
        isInteractive: Bool
    ) throws {
        if isInteractive {
            needs = RunNeeds(sequenceLength: nil, sequenceCount: 1)
            return
        }
        let limit = try arguments.lengthLimit(of: model)
        guard let longest = prompts.map(\.count).max(), let shortest = prompts.map(\.count).min(), shortest > 0 else {
            throw RunError(.badInput, "the prompt is empty: give text, or at least one token id")
        }
        guard longest < limit || (longest == limit && options.maximumTokens == 0) else {
            let remedy =
                limit < model.decoder.positionLimit
                ? "shorten it, or raise --max-model-len (the model goes up to \(model.decoder.positionLimit))"
                : "shorten it: that is the model's own limit"
            throw RunError(
                .badInput, "the prompt is \(longest) tokens long, which leaves no room within \(limit); \(remedy)")
        }
        needs = RunNeeds(
            prompts: prompts.map(\.count), newTokens: options.maximumTokens, limit: limit,
            sequenceCount: prompts.count * options.outputCount)
    }
}

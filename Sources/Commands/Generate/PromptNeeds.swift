import Bootstrap
import Generation
import ModelOptions
import ProgramEntry

extension RunNeeds {
    /// The sizes that a run of these prompts must be planned for.
    ///
    /// - Throws: `RunError` with status 65 for a prompt that leaves no room for a new token within the longest allowed
    ///   sequence.
    init(_ prompts: [Prompt], options: GenerationOptions, model: OpenedModel, arguments: ModelArguments) throws {
        let limit = try arguments.lengthLimit(of: model)
        for prompt in prompts {
            let count = prompt.tokens.count
            guard count < limit || (count == limit && options.maximumTokens == 0) else {
                let remedy =
                    limit < model.decoder.positionLimit
                    ? "shorten it, or raise --max-model-len (the model goes up to \(model.decoder.positionLimit))"
                    : "shorten it: that is the model's own limit"
                throw RunError(
                    .badInput,
                    "\(prompt.source): the prompt is \(count) tokens long, which leaves no room within \(limit); \(remedy)"
                )
            }
        }
        self.init(
            prompts: prompts.map(\.tokens.count), newTokens: options.maximumTokens, limit: limit,
            sequenceCount: prompts.count * options.outputCount)
    }
}

import ArgumentParser
import Bootstrap
import Generation
import ModelOptions
import Sampling

/// The options for drawing tokens.
///
/// Defaults come from the model's generation_config.json. Every value may begin with a dash, so that negative numbers
/// reach the checks that name them, and because a stop string is any text.
struct SamplingArguments: ParsableArguments {
    @Option(parsing: .unconditional, help: "New tokens at most. Default: generation_config.json, else 128.")
    var maxTokens: Int?

    @Option(parsing: .unconditional, help: "0 takes the best token. Default: generation_config.json, else 1.")
    var temperature: Float?

    @Option(parsing: .unconditional, help: "Draw from the best K tokens only.")
    var topK: Int?

    @Option(parsing: .unconditional, help: "Draw from the best tokens that have this probability together.")
    var topP: Float?

    @Option(parsing: .unconditional, help: "Draw from tokens with at least this share of the best one's probability.")
    var minP: Float?

    @Option(parsing: .unconditional, help: "Make tokens of prompt and output less likely, above 1.")
    var repetitionPenalty: Float?

    @Option(parsing: .unconditional, help: "Taken from the logits of tokens in the output.")
    var presencePenalty: Float = 0

    @Option(parsing: .unconditional, help: "Taken from the logits of tokens in the output for each time.")
    var frequencyPenalty: Float = 0

    @Option(parsing: .unconditional, help: "The same seed draws the same tokens. Default: from the clock, and printed.")
    var seed: UInt64?

    @Option(parsing: .unconditionalSingleValue, help: "End at this text; may be given more than once.")
    var stop: [String] = []

    @Flag(help: "Go on after an end token.")
    var ignoreEos = false

    @Option(name: .customLong("n"), parsing: .unconditional, help: "Outputs for each prompt.")
    var outputCount = 1

    @Option(parsing: .unconditional, help: "Report the log-probability of each new token, and the K best.")
    var logprobs: Int?

    @Flag(help: "Report the log-probability of every prompt token.")
    var promptLogprobs = false

    @Flag(help: "Report a hash of each step's logits.")
    var logitsDigest = false

    mutating func validate() throws {
        if let maxTokens, maxTokens < 0 { throw ValidationError("--max-tokens must be 0 or more, not \(maxTokens).") }
        guard (1...1 << 16).contains(outputCount) else {
            throw ValidationError("--n must be 1 or more, not \(outputCount).")
        }
        if stop.contains("") { throw ValidationError("--stop must not be empty: every text ends at nothing.") }
        if let logprobs, !(0...1000).contains(logprobs) {
            throw ValidationError("--logprobs must be from 0 to 1000, not \(logprobs).")
        }
    }

    func options(defaults: OpenedModel.SamplingDefaults) throws -> GenerationOptions {
        let parameters = SamplingParameters(
            temperature: temperature ?? defaults.temperature.map { Float($0) } ?? 1, topK: topK ?? defaults.topK,
            topP: topP ?? defaults.topP.map { Float($0) } ?? 1, minP: minP ?? defaults.minP.map { Float($0) } ?? 0,
            repetitionPenalty: repetitionPenalty ?? defaults.repetitionPenalty.map { Float($0) } ?? 1,
            presencePenalty: presencePenalty, frequencyPenalty: frequencyPenalty)
        try parameters.validate()
        return GenerationOptions(
            maximumTokens: maxTokens ?? defaults.maximumNewTokens ?? 128, sampling: parameters,
            seed: seed ?? UInt64.random(in: 0..<1 << 32), stops: stop, ignoresEnd: ignoreEos,
            outputCount: outputCount, topLogProbabilityCount: logprobs, wantsPromptLogProbabilities: promptLogprobs,
            wantsDigests: logitsDigest)
    }
}

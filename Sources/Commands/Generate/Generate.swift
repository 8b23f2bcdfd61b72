import ArgumentParser
import Bootstrap
import ChatOptions
import Generation
import ProgramEntry
import Sampling

@main struct Launcher {
    static func main() { Generate.start() }
}

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Continue prompts with a model that is divided over the ranks of mpirun.",
        version: triremeVersion)

    @OptionGroup var modelArguments: ModelArguments
    @OptionGroup var promptArguments: PromptArguments
    @OptionGroup var samplingArguments: SamplingArguments
    @OptionGroup var outputArguments: OutputArguments

    @Option(help: "text or json.")
    var format = "text"

    mutating func validate() throws {
        guard format == "text" || format == "json" else {
            throw ValidationError("--format must be text or json, not '\(format)'.")
        }
        guard promptArguments.interactive else { return }
        if format == "json" { throw ValidationError("--interactive prints text only.") }
        if samplingArguments.outputCount > 1 {
            throw ValidationError("--interactive goes on from one output: leave out --n.")
        }
        if samplingArguments.maxTokens == 0 { throw ValidationError("--interactive needs a --max-tokens above 0.") }
    }

    func run() throws {
        withRank(
            modelArguments,
            prepare: { model, tokenizer in
                try outputArguments.begin()
                // Stop strings are text, so they need a tokenizer.
                if !samplingArguments.stop.isEmpty { _ = try tokenizer.required(by: model, for: "--stop") }
                let options = try samplingArguments.options(defaults: model.sampling)
                let format = try promptArguments.chatFormat(model: model, tokenizer: tokenizer)
                let prompts = try promptArguments.prompts(model: model, tokenizer: tokenizer, format: format)
                let needs =
                    promptArguments.interactive
                    ? RunNeeds(sequenceLength: nil, sequenceCount: 1)
                    : try RunNeeds(prompts, options: options, model: model, arguments: modelArguments)
                return (Job(prompts: prompts, options: options, format: format), needs)
            },
            body: { session, job in
                if samplingArguments.seed == nil, job.options.sampling.temperature > 0 {
                    complain("seed \(job.options.seed)")
                }
                let printer = Printer(
                    isJSON: format == "json", isBatch: promptArguments.isBatch, showsPrompt: job.format == nil,
                    options: job.options)
                if promptArguments.interactive {
                    return try Dialogue(session: session, options: job.options, format: job.format).run()
                }
                return try printer.run(job, session)
            },
            report: { outcome, report in
                if let failure = outcome.failure { throw failure }
                let timings = TimingReport(
                    report, statistics: outcome.statistics, timeToFirstToken: outcome.timeToFirstToken)
                if format == "json", !promptArguments.isBatch {
                    guard !report.wasInterrupted, let result = outcome.results.first else {
                        return complain("interrupted")
                    }
                    try printJSON(
                        GenerateReport(
                            model: modelArguments.model, result: ResultReport(result, options: outcome.options),
                            plan: PlanReport(report), timings: timings, memory: report.memory))
                } else {
                    complain((report.wasInterrupted ? "interrupted; " : "") + timings.summary)
                }
                if !report.wasInterrupted { try outputArguments.finish() }
            })
    }
}

/// The prompts and options of a run of `generate`.
struct Job {
    let prompts: [Prompt]
    let options: GenerationOptions
    /// How conversations become tokens; nil without `--chat`.
    let format: ChatFormat?
}

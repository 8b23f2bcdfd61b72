import Architectures
import ArgumentParser
import Bootstrap
import Engine
import Foundation
import Generation
import Layers
import ModelOptions
import ProgramEntry
import Tensors
import Topology

/// Measures prefill and decode of one model on one plan, and the hardware's limits in alternation.
struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tokens per second of one model on one plan, beside the limits measured in the same run.")

    @OptionGroup var modelArguments: ModelArguments

    @Option(parsing: .unconditional, help: "Tokens of the prompt.")
    var promptLength = 512

    @Option(parsing: .unconditional, help: "New tokens.")
    var newTokens = 64

    @Option(parsing: .unconditional, help: "Sequences decoded together.")
    var batch = 1

    @Option(parsing: .unconditional, help: "Rounds; the best of each figure is reported.")
    var rounds = 5

    @Option(help: "A file that gets one JSON object a line, after what it has.")
    var json: String?

    @Flag(help: "Print the table's header first.")
    var header = false

    @Flag(help: "Trace one more round, and print what rank 0's steps spend on each kind of operation.")
    var byKind = false

    @OptionGroup var outputArguments: OutputArguments

    mutating func validate() throws {
        for (name, value, least) in [
            ("prompt-length", promptLength, 1), ("new-tokens", newTokens, 2), ("batch", batch, 1),
            ("rounds", rounds, 1),
        ] where !(least...1 << 24).contains(value) {
            throw ValidationError("--\(name) must be from \(least) to \(1 << 24), not \(value).")
        }
    }

    private struct Measured {
        var decode = Engine.StepTimes()
        var prefill = Engine.StepTimes()
        var limits = [0.0, 0.0]
        var costs = Costs()
        var formatName = ""
        /// The traced steps of rank 0, after the rounds.
        var traced: [TracedStep] = []
    }

    /// The cost of a token, computed from the shapes.
    private struct Costs {
        /// Multiplications and additions of the layers' matrices for one token.
        var operationsPerToken = 0.0
        var cacheBytesPerPosition = 0.0
    }

    func run() throws {
        var figuresFile: OutputFile?
        withRank(
            modelArguments,
            prepare: { model, _ in
                try outputArguments.begin()
                figuresFile = try json.map { path throws(RunError) in try OutputFile(path, option: "--json") }
                let limit = try modelArguments.lengthLimit(of: model)
                guard promptLength + newTokens <= limit else {
                    throw RunError(
                        .badInput,
                        "--prompt-length \(promptLength) and --new-tokens \(newTokens) do not fit into the \(limit) positions of "
                            + "\(model.name); lower one of them")
                }
                let prompts = (0..<batch).map { sequence in
                    (0..<promptLength).map { Int32(($0 * 7919 + sequence * 31 + 5) % model.decoder.vocabularySize) }
                }
                return (
                    prompts, RunNeeds(prompts: [promptLength], newTokens: newTokens, limit: limit, sequenceCount: batch)
                )
            },
            body: { session, prompts in
                var best = Measured()
                best.costs = costs(session.model.decoder)
                best.formatName = name(of: session.formats[.down(layer: 0)])
                let generator = session.makeGenerator()
                var options = GenerationOptions(maximumTokens: newTokens, ignoresEnd: true)
                options.sampling.temperature = 0
                for round in 0...rounds {
                    guard !session.isInterrupted else { break }
                    let limits = try session.measureLimits()
                    session.engine.resetStatistics()
                    _ = try generator.run(prompts: prompts, options, isInterrupted: { session.isInterrupted })
                    // The first round warms up.
                    guard round > 0 else { continue }
                    best.limits = zip(best.limits, limits).map { max($0, $1) }
                    let found = session.engine.statistics
                    if round == 1 || found.decode.rate > best.decode.rate { best.decode = found.decode }
                    if round == 1 || found.prefill.rate > best.prefill.rate { best.prefill = found.prefill }
                }
                if byKind, !session.isInterrupted {
                    let first = session.engine.stepCount + 1
                    session.engine.isTraced = { _ in true }
                    _ = try generator.run(prompts: prompts, options, isInterrupted: { session.isInterrupted })
                    best.traced = session.recorder.steps.filter { $0.number >= first }
                }
                return best
            },
            report: { measured, report in
                guard !report.wasInterrupted else { return complain("interrupted") }
                let weightBytes = Double(report.memory.reduce(0) { $0 + $1.weightBytes })
                let context = Double(promptLength) + Double(newTokens) / 2
                let steps = measured.decode.rate / Double(batch)
                let bytesPerStep = weightBytes + Double(batch) * context * measured.costs.cacheBytesPerPosition
                let perToken = { (time: Duration) in time.seconds * 1e3 / Double(max(1, measured.decode.steps)) }
                let figures = RunFigures(
                    machine: MachineReport(kernels: report.kernels), model: modelArguments.model,
                    weights: measured.formatName,
                    ranks: report.rankCount, threads: report.threadCount, promptTokens: promptLength,
                    newTokens: newTokens,
                    decodeTokensPerSecond: measured.decode.rate, decodeGigabytesPerSecond: steps * bytesPerStep / 1e9,
                    readLimitGigabytesPerSecond: measured.limits[0] / 1e9,
                    prefillTokensPerSecond: measured.prefill.rate,
                    prefillGigaOperationsPerSecond: measured.prefill.rate * measured.costs.operationsPerToken / 1e9,
                    arithmeticLimitGigaOperationsPerSecond: measured.limits[1] / 1e9,
                    waitMillisecondsPerToken: perToken(measured.decode.wait),
                    transferMillisecondsPerToken: perToken(measured.decode.transfer),
                    peakResidentBytes: report.memory.map(\.peakResidentBytes))
                if header { try writeOut(RunFigures.header + "\n") }
                try writeOut(figures.row + "\n")
                let roof = Roof(
                    bytesPerSecond: measured.limits[0] / Double(report.rankCount),
                    operationsPerSecond: measured.limits[1] / Double(report.rankCount))
                for isPrefill in byKind ? [true, false] : [] {
                    let table = KindTable(measured.traced.filter { $0.isPrefill == isPrefill }, roof: roof)
                    try writeOut("\n\(isPrefill ? "prefill" : "decode"), rank 0\n" + table.text)
                }
                if let figuresFile {
                    try figuresFile.writeWhatIsThere()
                    try jsonLine(figures).withUnsafeBytes { try figuresFile.write($0) }
                    try figuresFile.commit()
                }
                try outputArguments.finish()
            })
    }

    private func costs(_ decoder: DecoderConfiguration) -> Costs {
        let matrices = decoder.parameters().filter { $0.role == .matrix && $0.name != .head }
        var costs = Costs(operationsPerToken: 2 * Double(matrices.reduce(0) { $0 + $1.count }))
        for layer in decoder.layers {
            let bytes = modelArguments.weights.cacheByteCount(headDimension: layer.attention.headDimension)
            costs.cacheBytesPerPosition += Double(layer.attention.keyValueHeadCount * bytes)
        }
        return costs
    }

    private func name(of format: ComputeFormat?) -> String {
        switch format {
        case .float32, nil: "float32"
        case .float16: "float16"
        case .bfloat16: "bfloat16"
        case .int8(let groups): "int8/" + (groups.size > 1024 ? "row" : "\(groups.size)")
        case .int4(let groups): "int4/" + (groups.size > 1024 ? "row" : "\(groups.size)")
        }
    }
}

extension Engine.StepTimes {
    fileprivate var rate: Double { tokensPerSecond ?? 0 }
}

import Architectures
import ArgumentParser
import Foundation
import Messages
import ModelOptions
import ProgramEntry
import Sizing
import Tensors
import Topology

/// `sizing plan`: answers for one model.
struct Plan: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answers for one model: the fewest cards, the longest context, and what would change them.")

    @Option(help: "A name of the catalogue, a Hugging Face directory, ORG/NAME in the local cache, or a config.json.")
    var model: String
    @Option(help: "Memory of a card, such as 32GB (as sold) or 32GiB.")
    var memory: ByteSize
    @Option(help: "Share of it that may be used. Default: the profile's.")
    var utilization: Double?
    @Option(help: "Longest sequence, such as 16K, or auto: the longest that fits.")
    var maxModelLen = "auto"
    @Option(help: "Number of cards, or auto: the fewest.")
    var cards = "auto"
    @Option(
        name: [.customLong("tensor-parallel-size"), .customLong("tp", withSingleDash: true)],
        help: "Cards that share each layer.")
    var tensorParallelSize: Int?
    @Option(
        name: [.customLong("pipeline-parallel-size"), .customLong("pp", withSingleDash: true)],
        help: "Stages of layers.")
    var pipelineParallelSize: Int?
    @Option(help: "A plan from a file, such as Topologies/tp2-pp2.json.")
    var topology: String?
    @Option(help: "Tokens computed in one step at most. Default: the profile's.")
    var maxNumBatchedTokens: TokenCount?
    @Option(help: "Sequences of that length at a time.")
    var batch = 1
    @Option(help: ArgumentHelp("\(PlannedModel.schemeNames.joined(separator: ", ")).", valueName: "scheme"))
    var quantization = "auto"
    @OptionGroup var options: PackingArguments
    @Option(help: "Key-value cache: auto, float32, float16, bfloat16, int8, fp8.")
    var kvCacheDtype = "auto"
    @Option(help: "trireme, ascend-vllm, vllm-cuda, or a file that sizing fit wrote.")
    var profile = "trireme"
    @Option(
        help: ArgumentHelp(
            "What all_reduce_bench --format json printed, for the time of communication.", valueName: "bench.json"))
    var interconnect: String?
    @Option(
        help: "Gigabytes (10^9 bytes) a second that a card reads, for the bound on decoding. Default: the profile's.")
    var memoryBandwidth: Double?
    @Option(help: "How the answer is printed.")
    var format: Style = .text

    enum Style: String, CaseIterable, ExpressibleByArgument {
        case text
        case json
        case markdown
    }

    mutating func validate() throws {
        guard (0.01...1).contains(utilization ?? 1) else {
            throw ValidationError("--utilization must be from 0.01 to 1.")
        }
        guard (1...1 << 20).contains(batch) else { throw ValidationError("--batch must be from 1 to 1048576.") }
        guard (0.001...1e6).contains(memoryBandwidth ?? 1) else {
            throw ValidationError("--memory-bandwidth must be from 0.001 to 1000000.")
        }
        guard maxModelLen == "auto" || TokenCount(argument: maxModelLen).map({ $0.count <= 1 << 28 }) ?? false else {
            throw ValidationError(
                "--max-model-len must be a number of tokens up to 262144K, such as 16K, or auto, not '\(maxModelLen)'.")
        }
        guard cards == "auto" || Int(cards).map((1...4096).contains) ?? false else {
            throw ValidationError("--cards must be from 1 to 4096, or auto, not '\(cards)'.")
        }
        guard maxNumBatchedTokens.map({ $0.count <= 1 << 20 }) ?? true else {
            throw ValidationError("--max-num-batched-tokens must be up to 1024K.")
        }
        if topology != nil, tensorParallelSize != nil || pipelineParallelSize != nil {
            throw ValidationError(
                "--topology and --tensor-parallel-size or --pipeline-parallel-size exclude each other.")
        }
        for degree in [tensorParallelSize, pipelineParallelSize] where !(1...4096).contains(degree ?? 1) {
            throw ValidationError("tensor and pipeline parallel sizes must be from 1 to 4096.")
        }
        guard PlannedModel.schemeNames.contains(quantization) else {
            throw ValidationError(
                "--quantization must be one of \(PlannedModel.schemeNames.joined(separator: ", ")), not '\(quantization)'."
            )
        }
        _ = try options.cacheType(named: kvCacheDtype)
    }

    func run() throws {
        try Sizing.answering {
            let model = try PlannedModel(named: self.model)
            var profile = try MemoryProfile(named: self.profile, reading: readData)
            if let maxNumBatchedTokens { profile.stepTokens = maxNumBatchedTokens.count }
            var question = SizingQuestion(
                model: self.model,
                storage: try model.storage(
                    scheme: quantization, kvCacheType: kvCacheDtype, options: options, profile: profile),
                memory: memory.bytes(ofGigabyte: profile.nominalGigabyte))
            question.utilization = utilization
            question.length = TokenCount(argument: maxModelLen)?.count
            question.cards = Int(cards)
            question.plan = try fixedPlan()
            question.batch = batch
            question.bandwidth = memoryBandwidth
            question.link = try interconnect.map(Self.link)
            question.hasWeights = model.hasWeights
            question.notes = model.notes
            let scheme = question.storage.name
            if profile.accounting == .runtime, !model.isAsStored(quantization), !Self.ownSchemes.contains(scheme) {
                question.notes.append(
                    "\(scheme) weights are counted as this runtime's own (4 bits for fewer, 8 for 5 to 8); it does not "
                        + "read them yet")
            }
            question.others = (profile.accounting == .runtime ? Self.ownSchemes : StoredScheme.all.map(\.name)).flatMap
            {
                scheme in
                ["float16", "int8"].map { cache in
                    (
                        "\(SizingAnswer.weightsText(scheme)), \(cache) cache",
                        Result {
                            try model.storage(
                                scheme: scheme, kvCacheType: cache, options: options, profile: profile,
                                isHypothetical: true)
                        }
                    )
                }
            }
            let answer = try SizingAnswer(question, decoder: model.decoder, profile: profile)
            switch format {
            case .json: try printJSON(answer)
            case .text, .markdown: try writeOut(answer.text(isMarkdown: format == .markdown))
            }
        }
    }

    /// The schemes to which this runtime quantizes while loading.
    private static let ownSchemes = ["none", "int8", "w8a8", "int4"]

    /// Reads the fit of alpha and beta from a report of `all_reduce_bench`.
    private static func link(_ path: String) throws -> LinkModel {
        struct Report: Decodable {
            struct Fit: Decodable {
                let alpha_us: Double
                let beta_ns_per_byte: Double
            }
            let fit: Fit?
        }
        let data = try readData(path)
        guard let fit = try? JSONDecoder().decode(Report.self, from: data).fit,
            (0...1e12).contains(fit.alpha_us), (0...1e12).contains(fit.beta_ns_per_byte)
        else {
            throw RunError(
                .badInput, "\(escaped(path)) has no fit of alpha and beta; make it with all_reduce_bench --format json")
        }
        return LinkModel(alphaMicroseconds: fit.alpha_us, betaNanosecondsPerByte: fit.beta_ns_per_byte)
    }

    /// The plan that the options determine; nil: it is to be chosen.
    func fixedPlan() throws -> ParallelPlan? {
        if let topology {
            let read = try ParallelPlan(topology: topology)
            guard ParallelPlan.degreeRange.contains(read.tensorDegree),
                ParallelPlan.degreeRange.contains(read.pipelineDegree)
            else { throw SizingError.badPlan("\(escaped(topology)): \(read.problems(rankCount: 0, layerCount: 0)[0])") }
            return try checked(read)
        }
        let count = Int(cards)
        switch (tensorParallelSize, pipelineParallelSize, count) {
        case (nil, nil, _): return nil
        case (let tensor?, let pipeline?, _):
            return try checked(ParallelPlan(tensorDegree: tensor, pipelineDegree: pipeline))
        case (let tensor?, nil, let count):
            return try checked(ParallelPlan(tensorDegree: tensor, pipelineDegree: max(1, (count ?? tensor) / tensor)))
        case (nil, let pipeline?, let count):
            return try checked(
                ParallelPlan(tensorDegree: max(1, (count ?? pipeline) / pipeline), pipelineDegree: pipeline))
        }
    }

    private func checked(_ plan: ParallelPlan) throws -> ParallelPlan {
        if let count = Int(cards), count != plan.rankCount {
            throw ValidationError(
                "--cards \(count) is not \(plan.tensorDegree) times \(plan.pipelineDegree).")
        }
        return plan
    }
}

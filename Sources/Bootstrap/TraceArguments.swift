import ArgumentParser
import ProgramEntry

/// The options that say which steps are recorded, and where the records go.
public struct TraceArguments: ParsableArguments, Sendable {
    @Option(name: .customLong("trace-step"), help: "Print what this step does, operation by operation, such as 2.")
    var printedStep: Int?

    @Option(
        help: ArgumentHelp(
            "A file that gets the traced steps of all ranks in Chrome's trace format, for ui.perfetto.dev.",
            valueName: "file"))
    var trace: String?

    @Option(
        help: ArgumentHelp("Steps to trace, such as 2..5. Default: 1..\(Self.defaultCount).", valueName: "first..last"))
    var traceSteps: StepRange?

    private static let defaultCount = 16

    public init() {}

    public func validate() throws {
        if let printedStep, printedStep < 1 {
            throw ValidationError("--trace-step must be 1 or more, not \(printedStep).")
        }
        if traceSteps != nil, trace == nil { throw ValidationError("--trace-steps needs --trace FILE.") }
    }

    /// The numbers of the steps to record.
    var steps: Range<Int> {
        let printed = printedStep.map { $0..<$0 + 1 }
        let saved = trace == nil ? nil : traceSteps?.steps ?? 1..<1 + Self.defaultCount
        switch (printed, saved) {
        case (let printed?, let saved?):
            return min(printed.lowerBound, saved.lowerBound)..<max(printed.upperBound, saved.upperBound)
        case (let steps?, nil), (nil, let steps?): return steps
        case (nil, nil): return 0..<0
        }
    }

    /// Whether a step belongs into the file.
    func isSaved(_ step: Int) -> Bool {
        trace != nil && (traceSteps?.steps ?? 1..<1 + Self.defaultCount).contains(step)
    }
}

/// The numbers of some consecutive steps, written `first..last` or as one number.
struct StepRange: ExpressibleByArgument, Sendable {
    let steps: Range<Int>

    init?(argument: String) {
        let ends = argument.split(separator: ".", omittingEmptySubsequences: false)
        let numbers = ends.compactMap { Int($0) }
        switch (ends.count, numbers.count) {
        case (1, 1): steps = numbers[0]..<numbers[0] + 1
        case (3, 2) where ends[1].isEmpty && numbers[0] <= numbers[1]: steps = numbers[0]..<numbers[1] + 1
        default: return nil
        }
        guard steps.lowerBound >= 1, steps.upperBound <= 1 << 40 else { return nil }
    }
}

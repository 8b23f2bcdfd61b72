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
        help: ArgumentHelp("Steps to trace, such as 2..5. Default: 1..16.", valueName: "first..last"))
    var traceSteps: StepRange?

    public init() {}

    public func validate() throws {
        if let printedStep, printedStep < 1 {
            throw ValidationError("--trace-step must be 1 or more, not \(printedStep).")
        }
        if traceSteps != nil, trace == nil { throw ValidationError("--trace-steps needs --trace FILE.") }
    }

    /// The numbers of the steps that go into the file, if one is wanted.
    private var savedSteps: ClosedRange<Int> { traceSteps?.steps ?? 1...16 }

    /// Whether a step's records go into the file.
    func isSaved(_ step: Int) -> Bool { trace != nil && savedSteps.contains(step) }

    /// Whether a step is recorded.
    func isTraced(_ step: Int) -> Bool { step == printedStep || isSaved(step) }

    /// The options as a text that must be the same on every rank, because all ranks write one file.
    var fact: String { "\(trace == nil ? "no file" : "a file"), steps \(savedSteps)" }
}

/// The numbers of some consecutive steps, written `first..last` or as one number.
struct StepRange: ExpressibleByArgument, Sendable {
    let steps: ClosedRange<Int>

    init?(argument: String) {
        let ends = argument.split(separator: ".", omittingEmptySubsequences: false)
        let numbers = ends.compactMap { Int($0) }
        switch (ends.count, numbers.count) {
        case (1, 1) where numbers[0] >= 1: steps = numbers[0]...numbers[0]
        case (3, 2) where ends[1].isEmpty && numbers[0] >= 1 && numbers[0] <= numbers[1]:
            steps = numbers[0]...numbers[1]
        default: return nil
        }
    }
}

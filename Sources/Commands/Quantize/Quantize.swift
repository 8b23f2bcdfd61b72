import ArgumentParser
@preconcurrency import Glibc
import Messages
import ModelOptions
import ProgramEntry
import Quantization
import Synchronization

@main struct Launcher {
    static func main() { Quantize.start() }
}

/// The program `quantize`, which writes a quantized copy of a Hugging Face directory.
struct Quantize: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quantize",
        abstract: "Write a quantized copy of a model in compressed-tensors' pack-quantized layout.",
        discussion: """
            The decoder's linear layers are rounded to the nearest of 16 or 256 values with a scale for each group of \
            weights; embedding, norms and output head stay as they are. The input is never written to, and the output \
            appears under its name only when it is complete.
            """,
        version: triremeVersion)

    enum SchemeName: String, CaseIterable, ExpressibleByArgument {
        case int8
        case int4
    }

    enum GranularityName: String, CaseIterable, ExpressibleByArgument {
        case group
        case channel
        case tensor
    }

    enum Symmetry: EnumerableFlag {
        case symmetric
        case asymmetric

        static func help(for value: Symmetry) -> ArgumentHelp? {
            value == .symmetric ? "Code 0 means weight 0." : "Each group also has a zero point."
        }
    }

    @Option(help: ArgumentHelp("The model's directory, or ORG/NAME in the local cache.", valueName: "model"))
    var model: String

    @Option(help: "How weights are encoded.")
    var scheme: SchemeName

    @Option(help: ArgumentHelp("The directory to write; it must not exist, or be empty.", valueName: "dir"))
    var output: String

    @Option(help: ArgumentHelp("Weights that share a scale (default: 128).", valueName: "n"))
    var groupSize: Int?

    @Option(help: "One scale for each of these; a channel is a row, a tensor a whole matrix.")
    var granularity: GranularityName = .group

    @Flag(exclusivity: .exclusive)
    var symmetry: Symmetry = .symmetric

    @Option(help: ArgumentHelp("Begin another weight file beyond this size, such as 2GiB.", valueName: "size"))
    var maxShardSize = ByteSize(byteCount: 5_000_000_000)

    func validate() throws {
        if let groupSize, granularity != .group {
            throw ValidationError("--group-size \(groupSize) has no meaning with --granularity \(granularity).")
        }
        if let groupSize, groupSize < 1 {
            throw ValidationError("--group-size must be 1 or more.")
        }
    }

    func run() throws {
        installInterruptHandlers()
        do {
            try quantize()
        } catch {
            if ProgressLine.isWanted { writeToStandardError("\n") }
            writeToStandardError("quantize: \(error)\n")
            throw ExitCode(error == .interrupted ? 130 : error.isUsage ? 64 : error.isMissingInput ? 66 : 65)
        }
    }

    private func quantize() throws(QuantizationError) {
        let granularity: IntegerScheme.Granularity =
            switch granularity {
            case .group: .group(groupSize ?? 128)
            case .channel: .channel
            case .tensor: .tensor
            }
        let scheme = try IntegerScheme(
            bits: scheme == .int8 ? 8 : 4, granularity: granularity, isSymmetric: symmetry == .symmetric)
        // If the model is not found, the quantizer reports it under the name that the user gave.
        let found = try? FoundModel.locate(model)
        if let warning = found?.warning { writeToStandardError("quantize: warning: \(warning)\n") }
        let quantizer = try CheckpointQuantizer(
            model: found?.directory ?? model, output: output, scheme: scheme,
            maximumShardByteCount: maxShardSize.byteCount)
        for warning in quantizer.warnings { writeToStandardError("quantize: warning: \(warning)\n") }
        let progress = ProgressLine()
        let summary = try quantizer.run(
            progress: progress.show, isCancelled: { isInterrupted.load(ordering: .relaxed) })
        progress.clear()
        print(
            "\(escaped(output)): \(summary.quantizedCount) matrices quantized,",
            "\(summary.bytesBefore) → \(summary.bytesAfter) bytes")
    }
}

/// A line with the percentage done, rewritten in place on standard error if a person watches.
private final class ProgressLine {
    /// Whether standard error is a terminal, or a launcher says that it leads to one.
    static let isWanted = isatty(STDERR_FILENO) == 1 || getenv("TRIREME_PROGRESS") != nil

    private var shown = -1

    func show(_ done: Int, of total: Int) {
        let percent = total > 0 ? done * 100 / total : 100
        guard Self.isWanted, percent != shown else { return }
        shown = percent
        writeToStandardError("\rquantizing: \(percent) %")
    }

    func clear() {
        if Self.isWanted { writeToStandardError("\r\u{1B}[K") }
    }
}

private func writeToStandardError(_ text: String) {
    fputs(text, stderr)
}

/// The flag that the signal handler sets, and that the work checks between strips.
private let isInterrupted = Atomic<Bool>(false)

/// Makes Ctrl-C and termination signals end the work in an orderly way, so that the partial output is removed.
private func installInterruptHandlers() {
    // The first use of a global takes a lock, which a signal handler must not, so the flag is used here first.
    isInterrupted.store(false, ordering: .relaxed)
    var unblocked = sigset_t()
    sigemptyset(&unblocked)
    for number in [SIGINT, SIGTERM, SIGHUP] {
        signal(number) { _ in isInterrupted.store(true, ordering: .relaxed) }
        sigaddset(&unblocked, number)
    }
    // A program that is started from a thread that blocks signals, as Dispatch's threads do, inherits the mask.
    pthread_sigmask(SIG_UNBLOCK, &unblocked, nil)
}

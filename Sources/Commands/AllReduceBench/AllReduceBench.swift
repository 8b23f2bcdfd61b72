import Architectures
import ArgumentParser
import Bootstrap
import Collectives
import Glibc
import MPICollectives
import ModelOptions
import ProgramEntry

@main struct Launcher {
    static func main() { AllReduceBench.start() }
}

extension Backend: ExpressibleByArgument {}

/// The program `all_reduce_bench`: how fast ranks exchange data, with the options of nccl-tests.
struct AllReduceBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "all_reduce_bench",
        abstract: "Measures collectives over the ranks of mpirun, and checks every element.", version: triremeVersion)

    enum Format: String, CaseIterable, ExpressibleByArgument {
        case table
        case markdown
        case csv
        case json
    }

    @Option(name: [.customShort("b"), .customLong("minbytes")], help: "Smallest size.")
    var smallest = ByteSize(byteCount: 4)
    @Option(name: [.customShort("e"), .customLong("maxbytes")], help: "Largest size.")
    var largest = ByteSize(byteCount: 64 << 20)
    @Option(name: [.customShort("f"), .customLong("stepfactor")], help: "Each size is so many times the one before.")
    var factor = 2
    @Option(
        name: [.customShort("i"), .customLong("stepbytes")], help: "Each size is so much more than the one before.")
    var step: ByteSize?
    @Option(
        name: [.customShort("n"), .customLong("iters")],
        help: "Calls that are timed. Default: 1000 up to 8 KiB, 200 up to 1 MiB, else 20.")
    var iterations: Int?
    @Option(name: [.customShort("w"), .customLong("warmup_iters")], help: "Calls before those.")
    var warmup = 5
    @Option(name: [.customShort("c"), .customLong("check")], help: "1: check every element of every size.")
    var check = 1
    @Option(
        name: [.customShort("d"), .customLong("datatype")],
        help: ArgumentHelp("float32, bfloat16, float16, int8 or all.", valueName: "type"))
    var type = "float32"
    @Option(
        name: [.customShort("o"), .customLong("op")],
        help: ArgumentHelp("sum, product, minimum, maximum or all.", valueName: "op"))
    var reduction = "sum"
    @Option(
        name: [.customShort("a"), .customLong("average")],
        help: "The time of a call: 0 rank 0's, 1 the ranks' average, 2 their minimum, 3 their maximum.")
    var average = 1
    @Option(
        help: ArgumentHelp(
            "\(Collective.all.map(\.name).joined(separator: ", ")) or all.", valueName: "name"))
    var collective = "all_reduce"
    @Option(
        help: """
            auto; shm: shared memory; messages: ours over MPI's messages; hierarchical: both, over hosts; mpi: the MPI \
            library's own collectives.
            """)
    var backend: Backend = .auto
    @Option(help: "How results are printed.")
    var format: Format = .table
    @Option(help: ArgumentHelp("Draw bandwidth and time over size, as SVG.", valueName: "file.svg"))
    var plot: String?
    @Option(
        help: ArgumentHelp(
            """
            Measure nothing, but make so many calls with random collectives, types, reductions and sizes, and check every \
            element.
            """, valueName: "calls"))
    var stress: Int?
    @Option(help: "The beginning of --stress's random numbers.")
    var seed: UInt64 = 0
    @Option(name: .customLong("payload_size_in_gib"), help: "Only this size.")
    var payload: Double?
    @Flag(name: .customLong("profile_stability"), help: "With --payload_size_in_gib: a row for each call.")
    var profilesStability = false

    @Option(
        help: ArgumentHelp(
            "Also measure what a token of this model costs to communicate: a folder, or a name that synthetic: takes.",
            valueName: "model"))
    var predict: String?

    @OptionGroup
    var collectives: CollectiveArguments

    /// What is measured, in order.
    struct Plan {
        var collectives: [Collective]
        var types: [ReducedType]
        var reductions: [Reduction]
        var sizes: [Int]
    }

    mutating func validate() throws {
        guard smallest.byteCount >= 1, step?.byteCount ?? 1 >= 1 else {
            throw ValidationError("-b and -i must be 1 or more.")
        }
        guard factor <= 1 << 20, largest.byteCount <= 1 << 50, step?.byteCount ?? 1 <= 1 << 50 else {
            throw ValidationError("-e, -f or -i is too large.")
        }
        guard smallest.byteCount <= largest.byteCount else { throw ValidationError("-b must not be more than -e.") }
        guard factor >= 2 || step != nil else { throw ValidationError("-f must be 2 or more.") }
        guard iterations ?? 1 >= 1, warmup >= 0 else { throw ValidationError("-n must be 1 or more, -w 0 or more.") }
        guard stress ?? 1 >= 1 else { throw ValidationError("--stress must be 1 or more.") }
        guard (0...1).contains(check) else { throw ValidationError("-c must be 0 or 1.") }
        guard (0...3).contains(average) else { throw ValidationError("-a must be 0, 1, 2 or 3.") }
        guard payload ?? 1 > 0, payload ?? 1 <= 1024 else {
            throw ValidationError("--payload_size_in_gib must be more than 0, and 1024 at most.")
        }
        guard !profilesStability || payload != nil else {
            throw ValidationError("--profile_stability needs --payload_size_in_gib.")
        }
        _ = try plan()
    }

    func plan() throws -> Plan {
        func choose<Choice>(_ name: String, _ option: String, _ choices: [(String, Choice)]) throws -> [Choice] {
            if name == "all" { return choices.map(\.1) }
            guard let choice = choices.first(where: { $0.0 == name }) else {
                throw ValidationError("\(option) must be \(choices.map(\.0).joined(separator: ", ")) or all.")
            }
            return [choice.1]
        }
        var sizes: [Int] = []
        if let payload {
            sizes = [max(4, Int(payload * 0x1p30))]
        } else {
            var size = smallest.byteCount
            while size <= largest.byteCount {
                sizes.append(size)
                size = step.map { size + $0.byteCount } ?? size * factor
            }
        }
        return Plan(
            collectives: try choose(collective, "--collective", Collective.all.map { ($0.name, $0) }),
            types: try choose(type, "-d", ReducedType.allCases.map { ("\($0)", $0) }),
            reductions: try choose(reduction, "-o", Reduction.allCases.map { ("\($0)", $0) }), sizes: sizes)
    }

    /// The model of `--predict`.
    func model() throws -> DecoderConfiguration? {
        guard let predict else { return nil }
        let found = try FoundModel(named: predict, mayBeShape: true)
        return try found.decoder(of: ModelFamily.named(by: found.configuration))
    }

    func run() throws {
        let plan = try plan()
        let status = withMPI(
            collectives.options(backend),
            { world -> ExitStatus in
                InterruptFlag.install()
                return try withHeartbeat(over: world, options: HeartbeatOptions(timeout: collectives.patience)) {
                    heartbeat in
                    heartbeat.activity.enter(.communicating)
                    world.timeout = collectives.operationPatience
                    defer { world.timeout = nil }
                    guard let stress else { return try Measurement(options: self, plan: plan, world: world).run() }
                    return try RandomCalls(count: stress, seed: seed, wireType: collectives.wireType, world: world)
                        .run()
                }
            },
            exitStatus: { ExitStatus($0).rawValue },
            report: { complain("all_reduce_bench: \($0)") })
        endProgram(status: status.rawValue)
    }
}

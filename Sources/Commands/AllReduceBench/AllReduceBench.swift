import Architectures
import ArgumentParser
import Bootstrap
import Collectives
import Glibc
import JobWatch
import MPICollectives
import ModelOptions
import ProgramEntry

@main struct Launcher {
    static func main() { AllReduceBench.start() }
}

extension Backend: ExpressibleByArgument {}

/// The program `all_reduce_bench`, which measures how fast ranks exchange data, with the options of nccl-tests.
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

    @Option(name: [.customShort("b"), .customLong("minbytes")], parsing: .unconditional, help: "Smallest size.")
    var smallest = ByteSize(byteCount: 4)
    @Option(name: [.customShort("e"), .customLong("maxbytes")], parsing: .unconditional, help: "Largest size.")
    var largest = ByteSize(byteCount: 64 << 20)
    @Option(
        name: [.customShort("f"), .customLong("stepfactor")], parsing: .unconditional,
        help: "Each size is so many times the one before.")
    var factor = 2
    @Option(
        name: [.customShort("i"), .customLong("stepbytes")], parsing: .unconditional,
        help: "Each size is so much more than the one before.")
    var step: ByteSize?
    @Option(
        name: [.customShort("n"), .customLong("iters")], parsing: .unconditional,
        help: "Calls that are timed. Default: 1000 up to 8 KiB, 200 up to 1 MiB, else 20.")
    var iterations: Int?
    @Option(
        name: [.customShort("w"), .customLong("warmup_iters")], parsing: .unconditional, help: "Calls before those.")
    var warmup = 5
    @Option(
        name: [.customShort("c"), .customLong("check")], parsing: .unconditional,
        help: "1: check every element of every size.")
    var check = 1
    @Option(
        name: [.customShort("d"), .customLong("datatype")],
        help: ArgumentHelp("\(AllReduceBench.types.list) or all.", valueName: "type"))
    var type = "float32"
    @Option(
        name: [.customShort("o"), .customLong("op")],
        help: ArgumentHelp("\(AllReduceBench.reductions.list) or all.", valueName: "op"))
    var reduction = "sum"
    @Option(
        name: [.customShort("a"), .customLong("average")], parsing: .unconditional,
        help: "The time of a call: 0 rank 0's, 1 the ranks' average, 2 their minimum, 3 their maximum.")
    var average = 1
    @Option(help: ArgumentHelp("\(AllReduceBench.allCollectives.list) or all.", valueName: "name"))
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
        parsing: .unconditional,
        help: ArgumentHelp(
            """
            Measure nothing, but make so many calls with random collectives, types, reductions and sizes, and check every \
            element.
            """, valueName: "calls"))
    var stress: Int?
    @Option(parsing: .unconditional, help: "The beginning of --stress's random numbers.")
    var seed: UInt64 = 0
    @Option(name: .customLong("payload_size_in_gib"), parsing: .unconditional, help: "Only this size.")
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

    @OptionGroup
    var outputArguments: OutputArguments

    static let types = NamedChoices(
        ReducedType.allCases.map { ("\($0)", $0) }, alsoNamed: ["float": "float32", "half": "float16"])
    static let reductions = NamedChoices(
        Reduction.allCases.map { ("\($0)", $0) },
        alsoNamed: ["prod": "product", "min": "minimum", "max": "maximum"])
    static let allCollectives = NamedChoices(Collective.all.map { ($0.name, $0) })

    /// The most calls of one measurement; the time of every call is kept in memory.
    private static let mostCalls = 10_000_000

    /// The most sizes; a user who asks for more has made a mistake.
    private static let mostSizes = 100_000

    /// The collectives, types, reductions and sizes to measure, in order.
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
        guard (1...Self.mostCalls).contains(iterations ?? 1), (0...Self.mostCalls).contains(warmup) else {
            throw ValidationError("-n must be from 1 to \(Self.mostCalls), -w from 0 to that.")
        }
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
        let types = try Self.types.choose(type, "-d")
        return Plan(
            collectives: try Self.allCollectives.choose(collective, "--collective"), types: types,
            reductions: try Self.reductions.choose(reduction, "-o"),
            sizes: try sizes(elementBytes: types.map(\.byteCount).max() ?? 1))
    }

    private func sizes(elementBytes: Int) throws -> [Int] {
        if let payload { return [max(4, Int(payload * 0x1p30))] }
        if let step {
            guard step.byteCount >= elementBytes else {
                throw ValidationError("-i must be \(elementBytes) or more, the bytes of an element, not \(step).")
            }
            let count = (largest.byteCount - smallest.byteCount) / step.byteCount + 1
            guard count <= Self.mostSizes else {
                throw ValidationError(
                    "-b, -e and -i make \(count) sizes, more than \(Self.mostSizes); give a larger -i, or -f.")
            }
        }
        var sizes: [Int] = []
        var size = smallest.byteCount
        while size <= largest.byteCount {
            sizes.append(size)
            size = step.map { size + $0.byteCount } ?? size * factor
        }
        return sizes
    }

    /// Gives the model of `--predict`; nil without that option.
    func model() throws -> DecoderConfiguration? {
        guard let predict else { return nil }
        return try FoundModel(named: predict, mayBeShape: true).description().decoder
    }

    /// Gives the facts that must be the same on every rank, because all ranks make the same calls.
    private func facts(_ plan: Plan) -> [SharedFact] {
        [
            ("the collectives, types, reductions and sizes", "\(plan)"),
            ("-n, -w, -c or -a", "\(iterations ?? 0), \(warmup), \(check), \(average)"),
            ("--stress or --seed", "\(stress ?? 0), \(seed)"), ("--predict", predict ?? "none"),
            ("--profile_stability", "\(profilesStability)"), ("--timeout", "\(collectives.patience)"),
        ].map { SharedFact($0.0, $0.1, remedy: SharedFact.sameOptions) }
    }

    func run() throws {
        let plan = try plan()
        var options = collectives.options(backend)
        options.facts += facts(plan)
        let status = withMPI(
            options,
            { world -> ExitStatus in
                InterruptFlag.install()
                return try withHeartbeat(over: world, options: HeartbeatOptions(timeout: collectives.patience)) {
                    heartbeat in
                    heartbeat.activity.enter(.communicating)
                    world.timeout = collectives.operationPatience
                    defer { world.timeout = nil }
                    try onRankZero(of: world) { try outputArguments.begin() }
                    let status =
                        if let stress {
                            try RandomCalls(count: stress, seed: seed, wireType: collectives.wireType, world: world)
                                .run()
                        } else {
                            try Measurement(options: self, plan: plan, world: world).run()
                        }
                    if status != .interrupted { try onRankZero(of: world) { try outputArguments.finish() } }
                    return status
                }
            },
            exitStatus: { ExitStatus($0).rawValue },
            report: { complain("all_reduce_bench: \($0)") })
        endProgram(status: status.rawValue)
    }
}

/// Runs `body` on rank 0; if it fails, every rank throws the same error.
func onRankZero(of world: any Communicator, _ body: () throws -> Void) throws {
    try agree(on: world, status: { ExitStatus($0).rawValue }) {
        if world.rank == 0 { try body() }
    }
}

/// The values of an option by their names: our names, and the names that nccl-tests has for the same values.
struct NamedChoices<Choice: Sendable>: Sendable {
    private let choices: [(name: String, choice: Choice)]
    private let aliases: [String: String]

    init(_ choices: [(name: String, choice: Choice)], alsoNamed aliases: [String: String] = [:]) {
        self.choices = choices
        self.aliases = aliases
    }

    /// The list of all names, for help and messages.
    var list: String {
        choices.map { entry in
            let others = aliases.filter { $0.value == entry.name }.keys.sorted()
            return entry.name + (others.isEmpty ? "" : " (\(others.joined(separator: ", ")))")
        }.joined(separator: ", ")
    }

    /// Gives the choice of this name, or all choices if the name is `all`.
    func choose(_ name: String, _ option: String) throws -> [Choice] {
        if name == "all" { return choices.map(\.choice) }
        guard let choice = choices.first(where: { $0.name == aliases[name, default: name] }) else {
            throw ValidationError("\(option) must be \(list) or all, not '\(name)'.")
        }
        return [choice.choice]
    }
}

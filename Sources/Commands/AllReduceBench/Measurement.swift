import Bootstrap
import Collectives
import JobWatch
import MPICollectives
import ProgramEntry

/// The measurement of a plan: every rank runs it, and rank 0 prints the results.
struct Measurement {
    let options: AllReduceBench
    let plan: AllReduceBench.Plan
    let world: any Communicator

    /// The times of the calls of one size, in microseconds.
    struct Times: Encodable {
        let min: Double
        let median: Double
        let p99: Double
        let max: Double
    }

    /// The results of one collective, type, reduction and size, which are one row of the table.
    struct Result: Encodable {
        let collective: String
        let backend: String
        let bytes: Int
        let count: Int
        let dtype: String
        let redop: String?
        let timeMicroseconds: Times
        let algorithmBandwidth: Double
        let busBandwidth: Double
        /// The number of wrong elements on all ranks; nil if they were not checked.
        let wrong: Int?

        enum CodingKeys: String, CodingKey {
            case collective
            case backend
            case bytes
            case count
            case dtype
            case redop
            case timeMicroseconds = "time_us"
            case algorithmBandwidth = "algbw_gb_per_s"
            case busBandwidth = "busbw_gb_per_s"
            case wrong
        }
    }

    /// The backend that carries the collectives; for `--backend auto`, the one that was chosen.
    private var backend: Backend { Backend(of: world) ?? options.backend }

    func run() throws -> ExitStatus {
        let model = try agree(on: world, status: { ExitStatus($0).rawValue }) {
            if let short = plan.collectives.first(where: { $0.leastRanks > world.size }), plan.collectives.count == 1 {
                throw RunError(
                    .usage,
                    "--collective \(short.name) needs at least \(short.leastRanks) ranks: start it with mpirun -n \(short.leastRanks)"
                )
            }
            return try options.model()
        }
        var plot: OutputFile?
        try onRankZero(of: world) {
            plot = try options.plot.map { path throws(RunError) in try OutputFile(path, option: "--plot") }
        }
        let host = try HostShare(over: world)
        var report = Report(
            options: options, backend: backend, ranks: world.size, hosts: hostNames(of: world))
        if world.rank == 0 {
            if host.isBoundTightly {
                complain(
                    "warning: this rank is bound to one processor; give mpirun --bind-to none, or use Launch/local.sh")
            }
            if host.processors.isEmpty {
                complain("warning: more ranks than processors on this host; times are the scheduler's as well")
            }
            for short in plan.collectives where short.leastRanks > world.size {
                complain("\(short.name) is left out: it needs at least \(short.leastRanks) ranks")
            }
            try report.begin()
        }
        var isInterrupted = false
        measuring: for collective in plan.collectives where collective.leastRanks <= world.size {
            for type in plan.types {
                for reduction in collective.reduces ? plan.reductions : [.sum] {
                    for size in plan.sizes {
                        let total = max(1, size / type.byteCount)
                        let counts = collective.counts(total, world.rank, world.size)
                        let needed = (counts.input + counts.output) * type.byteCount
                        guard try everyone(needed <= host.memory) else {
                            if world.rank == 0 {
                                complain(
                                    "warning: \(collective.name) stops before \(size) bytes: two buffers a rank do not fit into "
                                        + "\(host.memory) bytes")
                            }
                            break
                        }
                        guard try everyone(!InterruptFlag.isRaised) else {
                            isInterrupted = true
                            break measuring
                        }
                        let result = try measure(collective, type, reduction, total: total, counts: counts)
                        if world.rank == 0 { try report.add(result.row, each: result.each) }
                    }
                }
            }
        }
        if !isInterrupted { isInterrupted = try !everyone(!InterruptFlag.isRaised) }
        if let model, !isInterrupted {
            report.predictions = try Prediction.all(for: model, over: world)
        }
        try onRankZero(of: world) {
            try report.finish()
            if let plot { try report.draw(on: plot) }
        }
        if isInterrupted {
            if world.rank == 0 { complain("interrupted; what is missing was not measured") }
            return .interrupted
        }
        return report.results.allSatisfy { $0.wrong ?? 0 == 0 } ? .done : .defect
    }

    private func measure(
        _ collective: Collective, _ type: ReducedType, _ reduction: Reduction, total: Int,
        counts: (input: Int, output: Int)
    ) throws -> (row: Result, each: [Double]) {
        func buffer(_ count: Int) -> UnsafeMutableRawBufferPointer {
            // Buffers begin with a page, as in the OSU benchmarks, because MPI then copies long messages between
            // processes faster.
            UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count * type.byteCount), alignment: 4096)
        }
        let (input, output) = (buffer(counts.input), buffer(counts.output))
        defer {
            input.deallocate()
            output.deallocate()
        }
        let exchange = Collective.Exchange(
            input: UnsafeMutableRawBufferPointer(rebasing: input[..<(counts.input * type.byteCount)]),
            output: UnsafeMutableRawBufferPointer(rebasing: output[..<(counts.output * type.byteCount)]), type: type,
            reduction: reduction, total: total)
        let pattern = Pattern(type: type, reduction: reduction, rankCount: world.size)
        pattern.fill(exchange.input, rank: world.rank)
        if collective.isRootsOutput, world.rank == 0 { pattern.fill(exchange.output, rank: 0) }

        let wrong = options.check == 1 ? try check(collective, exchange, pattern, total: total) : nil
        let bytes = total * type.byteCount
        // After an interrupt, the calls that have been made count, if there are many calls or calls that take long.
        func isTimeToLook(_ call: Int) -> Bool { bytes >= 32 << 20 || call % 1024 == 1023 }
        for call in 0..<options.warmup {
            try collective.call(exchange, world)
            if isTimeToLook(call), try !everyone(!InterruptFlag.isRaised) { break }
        }
        let iterations = options.iterations ?? (bytes <= 8 << 10 ? 1000 : bytes <= 1 << 20 ? 200 : 20)
        var mine: [Double] = []
        mine.reserveCapacity(iterations)
        for call in 0..<iterations {
            try world.barrier()
            let start = OperationClock.now()
            try collective.call(exchange, world)
            let end = OperationClock.now()
            mine.append(Double(end - start) / 1000)
            if isTimeToLook(call), try !everyone(!InterruptFlag.isRaised) { break }
        }
        let each = try combined(mine)
        let sorted = each.sorted()
        let median = sorted[sorted.count / 2]
        let bandwidth = Double(bytes) / median / 1000
        let row = Result(
            collective: collective.name, backend: backend.rawValue, bytes: bytes, count: total,
            dtype: "\(type)",
            redop: collective.reduces ? "\(reduction)" : nil,
            timeMicroseconds: Times(
                min: sorted[0], median: median, p99: sorted[min(sorted.count - 1, sorted.count * 99 / 100)],
                max: sorted[sorted.count - 1]),
            algorithmBandwidth: bandwidth, busBandwidth: bandwidth * collective.busFactor(world.size), wrong: wrong)
        return (row, each)
    }

    /// Makes one call, compares all elements with what they must be, and gives the number of wrong ones on all ranks.
    private func check(
        _ collective: Collective, _ exchange: Collective.Exchange, _ pattern: Pattern, total: Int
    ) throws -> Int {
        if !(collective.isRootsOutput && world.rank == 0) {
            exchange.output.initializeMemory(as: UInt8.self, repeating: 0xA5)
        }
        try collective.call(exchange, world)
        let wrong = pattern.countWrong(
            in: UnsafeRawBufferPointer(exchange.output),
            pieces: collective.pieces(world.rank, world.size, total),
            tolerance: exchange.reduction == .sum && collective.name == "all_reduce"
                ? pattern.tolerance(options.collectives.wireType) : 0)
        return try world.gatherAll([wrong]).reduce(0) { $0 + $1[0] }
    }

    /// Combines the times of all ranks into one time for each call, as the option `-a` says.
    private func combined(_ mine: [Double]) throws -> [Double] {
        let all = try world.gatherAll(mine)
        return mine.indices.map { call in
            let times = all.map { $0[call] }
            switch options.average {
            case 0: return times[0]
            case 1: return times.reduce(0, +) / Double(times.count)
            case 2: return times.min() ?? 0
            default: return times.max() ?? 0
            }
        }
    }

    private func everyone(_ condition: Bool) throws -> Bool {
        try world.gatherAll([condition]).allSatisfy { $0[0] }
    }
}

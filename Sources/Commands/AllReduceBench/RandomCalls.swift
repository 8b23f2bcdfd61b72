import Bootstrap
import Collectives
import Foundation
import JobWatch
import MPICollectives
import ProgramEntry

/// Calls with random collectives, types, reductions and sizes, which find faults that regular sizes in a regular order
/// miss.
///
/// Every element of every result is checked.
struct RandomCalls {
    let count: Int
    let seed: UInt64
    let wireType: WireType
    let world: any Communicator

    /// The most elements of a call.
    ///
    /// The logarithm of a size is uniform: sizes from 1 to 10 are as likely as sizes from 100,000 to 1,000,000.
    private static let most = 1_000_000

    /// A generator of random numbers that are the same on every rank.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64

        /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    func run() throws -> ExitStatus {
        var random = Generator(state: seed)
        // Shares are rounded up to one element each.
        let room = (Self.most + world.size) * 4
        let (input, output) = (
            UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 64),
            UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 64)
        )
        defer {
            input.deallocate()
            output.deallocate()
        }
        var (wrong, elements) = (0, 0)
        if world.rank == 0 { try writeOut("# seed \(seed)\n") }
        for call in 0..<count {
            let collective = Collective.all[Int.random(in: 0..<Collective.all.count, using: &random)]
            let type = ReducedType.allCases[Int.random(in: 0..<ReducedType.allCases.count, using: &random)]
            let reduction = Reduction.allCases[Int.random(in: 0..<Reduction.allCases.count, using: &random)]
            let total = Int(exp(Double.random(in: 0..<log(Double(Self.most)), using: &random)).rounded(.down))
            let isInPlace = Bool.random(using: &random) && collective.name == "all_reduce"
            guard world.size >= collective.leastRanks else { continue }
            let counts = collective.counts(total, world.rank, world.size)
            let pattern = Pattern(type: type, reduction: reduction, rankCount: world.size)
            let exchange = Collective.Exchange(
                input: UnsafeMutableRawBufferPointer(rebasing: input[..<(counts.input * type.byteCount)]),
                output: UnsafeMutableRawBufferPointer(
                    rebasing: (isInPlace ? input : output)[..<(counts.output * type.byteCount)]), type: type,
                reduction: reduction, total: total)
            let isRoot = collective.isRootsOutput && world.rank == 0
            if !isInPlace && !isRoot {
                exchange.output.initializeMemory(as: UInt8.self, repeating: 0xA5)
            }
            pattern.fill(isRoot ? exchange.output : exchange.input, rank: world.rank)
            try collective.call(exchange, world)
            let tolerance =
                collective.name == "all_reduce" && reduction == .sum ? pattern.tolerance(wireType) : 0
            let found = pattern.countWrong(
                in: UnsafeRawBufferPointer(exchange.output), pieces: collective.pieces(world.rank, world.size, total),
                tolerance: tolerance)
            if found > 0 {
                complain(
                    "call \(call) of seed \(seed): \(found) wrong elements on rank \(world.rank): \(collective.name), "
                        + "\(type), \(reduction), \(total) elements\(isInPlace ? ", in place" : "")")
            }
            (wrong, elements) = (wrong + found, elements + exchange.output.count / type.byteCount)
            if call % 64 == 63, try world.gatherAll([InterruptFlag.isRaised]).contains([true]) {
                if world.rank == 0 { complain("interrupted after \(call + 1) calls") }
                return .interrupted
            }
        }
        let all = try world.gatherAll([wrong, elements]).reduce([0, 0]) { [$0[0] + $1[0], $0[1] + $1[1]] }
        if world.rank == 0 {
            try writeOut(
                "\(count) random calls over \(world.size) ranks, \(all[1]) elements received: \(all[0]) wrong\n")
        }
        return all[0] == 0 ? .done : .defect
    }
}

import Collectives

/// What the benchmark knows of a collective: sizes, data, bandwidth, and the call; as nccl-tests describes one.
struct Collective: Sendable {
    let name: String
    /// Whether types and reductions matter, beyond the bytes of an element.
    let reduces: Bool
    /// What the algorithmic bandwidth is multiplied with, so that figures compare with a link's whatever the number of
    /// ranks (nccl-tests, doc/PERFORMANCE.md).
    let busFactor: @Sendable (_ ranks: Int) -> Double
    /// Elements that each rank gives and receives, for a total of so many.
    let counts: @Sendable (_ total: Int, _ ranks: Int) -> (input: Int, output: Int)
    /// The element of a rank's output: of which rank's input (nil: of all, reduced), and which of its elements.
    let source: @Sendable (_ index: Int, _ rank: Int, _ ranks: Int, _ total: Int) -> (rank: Int?, index: Int)
    let call: @Sendable (Exchange, any Communicator) throws -> Void

    /// One call's buffers.
    struct Exchange {
        let input: UnsafeMutableRawBufferPointer
        let output: UnsafeMutableRawBufferPointer
        let type: ReducedType
        let reduction: Reduction
    }

    @Sendable private static func share(_ total: Int, _ ranks: Int) -> Int { max(1, total / ranks) }

    static let all = [
        Collective(
            name: "all_reduce", reduces: true, busFactor: { 2 * Double($0 - 1) / Double($0) },
            counts: { total, _ in (total, total) }, source: { index, _, _, _ in (nil, index) },
            call: { exchange, group in
                try group.allReduce(
                    UnsafeRawBufferPointer(exchange.input), into: exchange.output, exchange.type, exchange.reduction)
            }),
        Collective(
            name: "all_gather", reduces: false, busFactor: { Double($0 - 1) / Double($0) },
            counts: { (share($0, $1), share($0, $1) * $1) },
            source: { index, _, ranks, total in
                (index / share(total, ranks), index % share(total, ranks))
            },
            call: { exchange, group in
                try group.allGather(UnsafeRawBufferPointer(exchange.input), into: exchange.output)
            }),
        Collective(
            name: "reduce_scatter", reduces: true, busFactor: { Double($0 - 1) / Double($0) },
            counts: { (share($0, $1) * $1, share($0, $1)) },
            source: { index, rank, ranks, total in (nil, rank * share(total, ranks) + index) },
            call: { exchange, group in
                try group.reduceScatter(
                    UnsafeRawBufferPointer(exchange.input), into: exchange.output, exchange.type, exchange.reduction)
            }),
        Collective(
            name: "broadcast", reduces: false, busFactor: { _ in 1 },
            counts: { total, _ in (0, total) }, source: { index, _, _, _ in (0, index) },
            call: { exchange, group in try group.broadcast(exchange.output, from: 0) }),
        // Once around: every rank receives from the one before it.
        Collective(
            name: "send_recv", reduces: false, busFactor: { _ in 1 },
            counts: { total, _ in (total, total) },
            source: { index, rank, ranks, _ in ((rank + ranks - 1) % ranks, index) },
            call: { exchange, group in
                let tag = MessageTag(rawValue: 1)
                let next = (group.rank + 1) % group.size
                let previous = (group.rank + group.size - 1) % group.size
                // A send may wait for its receiver: the last rank receives first, so that they do not all wait.
                if group.rank != group.size - 1 {
                    try group.send(UnsafeRawBufferPointer(exchange.input), to: next, tag: tag)
                }
                try group.receive(into: exchange.output, from: previous, tag: tag)
                if group.rank == group.size - 1 {
                    try group.send(UnsafeRawBufferPointer(exchange.input), to: next, tag: tag)
                }
            }),
    ]
}

/// Inputs whose reductions are exact in every type, so that every element of a result can be checked.
struct Pattern {
    let type: ReducedType
    let reduction: Reduction
    let rankCount: Int

    /// Values repeat after so many elements.
    ///
    /// Sums stay below 256, which bfloat16 holds exactly.
    var period: Int { reduction == .product ? 2 : max(2, min(8, 256 / rankCount)) }

    func value(_ index: Int, rank: Int) -> Int {
        reduction == .product
            // Powers of two; a few of them only, so that no type overflows.
            ? (rank < 6 && (index + rank) % 2 == 0 ? 2 : 1)
            : (index + 3 * rank) % period
    }

    private func reduced(_ index: Int) -> Int {
        let values = (0..<rankCount).map { value(index, rank: $0) }
        switch reduction {
        case .sum: return values.reduce(0, +)
        case .product: return values.reduce(1, *)
        case .minimum: return values.min() ?? 0
        case .maximum: return values.max() ?? 0
        }
    }

    /// An element's bytes in the low bits.
    private func bits(_ value: Int) -> UInt32 {
        switch type {
        case .float32: Float(value).bitPattern
        case .bfloat16: Float(value).bitPattern >> 16
        case .float16: UInt32(Float16(value).bitPattern)
        case .int8: UInt32(UInt8(truncatingIfNeeded: value))
        }
    }

    /// The bytes of one period of a rank's input, or of the reduction of all.
    private func bytes(rank: Int?) -> [UInt8] {
        (0..<period).flatMap { index in
            let bits = bits(rank.map { value(index, rank: $0) } ?? reduced(index))
            return (0..<type.byteCount).map { UInt8(truncatingIfNeeded: bits >> UInt32(8 * $0)) }
        }
    }

    func fill(_ buffer: UnsafeMutableRawBufferPointer, rank: Int) {
        let bytes = bytes(rank: rank)
        for start in stride(from: 0, to: buffer.count, by: bytes.count) {
            let end = min(buffer.count, start + bytes.count)
            UnsafeMutableRawBufferPointer(rebasing: buffer[start..<end]).copyBytes(from: bytes[..<(end - start)])
        }
    }

    /// How many elements differ from what they must be.
    func countWrong(
        in output: UnsafeRawBufferPointer, source: (Int) -> (rank: Int?, index: Int)
    ) -> Int {
        var expected = bytes(rank: nil)
        var expectedRank: Int?
        var wrong = 0
        for element in 0..<output.count / type.byteCount {
            let (rank, index) = source(element)
            if rank != expectedRank {
                expected = bytes(rank: rank)
                expectedRank = rank
            }
            let start = index % period * type.byteCount
            for byte in 0..<type.byteCount where output[element * type.byteCount + byte] != expected[start + byte] {
                wrong += 1
                break
            }
        }
        return wrong
    }
}

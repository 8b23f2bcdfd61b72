import Collectives
import Glibc
import MPICollectives

/// A collective as the benchmark measures it: its sizes, its data, its bandwidth and its call, as nccl-tests defines
/// them.
struct Collective: Sendable {
    let name: String
    /// Whether the collective adds or otherwise combines elements, so that their type and the reduction matter.
    let reduces: Bool
    /// Whether rank 0's data is in its output buffer and not in its input buffer, as in a broadcast.
    var isRootsOutput = false
    /// The least number of ranks that the collective needs.
    var leastRanks = 1
    /// The factor from algorithmic bandwidth to bus bandwidth, which can be compared with the bandwidth of a link for
    /// any number of ranks (nccl-tests, doc/PERFORMANCE.md).
    let busFactor: @Sendable (_ ranks: Int) -> Double
    /// Gives the number of elements in a rank's input and in its output, for a total of `total` elements.
    let counts: @Sendable (_ total: Int, _ rank: Int, _ ranks: Int) -> (input: Int, output: Int)
    /// Gives the pieces of which a rank's output must consist, in order.
    let pieces: @Sendable (_ rank: Int, _ ranks: Int, _ total: Int) -> [Piece]
    let call: @Sendable (Exchange, any Communicator) throws -> Void

    /// The buffers and settings of one call.
    struct Exchange {
        let input: UnsafeMutableRawBufferPointer
        let output: UnsafeMutableRawBufferPointer
        let type: ReducedType
        let reduction: Reduction
        let total: Int
    }

    /// Some elements of a rank's input, or of the reduction over all ranks.
    struct Piece {
        /// The rank whose input it is; nil for the reduction over all ranks.
        let rank: Int?
        let elements: Range<Int>
    }

    @Sendable private static func share(_ total: Int, _ ranks: Int) -> Int { max(1, total / ranks) }

    @Sendable private static func unevenShare(_ total: Int, _ rank: Int, _ ranks: Int) -> Range<Int> {
        total * rank / ranks..<total * (rank + 1) / ranks
    }

    static let all = [
        Collective(
            name: "all_reduce", reduces: true, busFactor: { 2 * Double($0 - 1) / Double($0) },
            counts: { total, _, _ in (total, total) },
            pieces: { _, _, total in [Piece(rank: nil, elements: 0..<total)] },
            call: { exchange, group in
                try group.allReduce(
                    UnsafeRawBufferPointer(exchange.input), into: exchange.output, exchange.type, exchange.reduction)
            }),
        Collective(
            name: "all_gather", reduces: false, busFactor: { Double($0 - 1) / Double($0) },
            counts: { (share($0, $2), share($0, $2) * $2) },
            pieces: { _, ranks, total in
                (0..<ranks).map { Piece(rank: $0, elements: 0..<share(total, ranks)) }
            },
            call: { exchange, group in
                try group.allGather(UnsafeRawBufferPointer(exchange.input), into: exchange.output)
            }),
        Collective(
            name: "reduce_scatter", reduces: true, busFactor: { Double($0 - 1) / Double($0) },
            counts: { (share($0, $2) * $2, share($0, $2)) },
            pieces: { rank, ranks, total in
                let share = share(total, ranks)
                return [Piece(rank: nil, elements: rank * share..<(rank + 1) * share)]
            },
            call: { exchange, group in
                try group.reduceScatter(
                    UnsafeRawBufferPointer(exchange.input), into: exchange.output, exchange.type, exchange.reduction)
            }),
        Collective(
            name: "broadcast", reduces: false, isRootsOutput: true, busFactor: { _ in 1 },
            counts: { total, _, _ in (0, total) }, pieces: { _, _, total in [Piece(rank: 0, elements: 0..<total)] },
            call: { exchange, group in try group.broadcast(exchange.output, from: 0) }),
        Collective(
            name: "all_to_all", reduces: false, busFactor: { Double($0 - 1) / Double($0) },
            counts: { (share($0, $2) * $2, share($0, $2) * $2) },
            pieces: { rank, ranks, total in
                let share = share(total, ranks)
                return (0..<ranks).map { Piece(rank: $0, elements: rank * share..<(rank + 1) * share) }
            },
            call: { exchange, group in
                try group.allToAll(UnsafeRawBufferPointer(exchange.input), into: exchange.output)
            }),
        // Rank 0 receives the total. Shares differ in length if the number of ranks does not divide it.
        Collective(
            name: "gather", reduces: false, busFactor: { Double($0 - 1) / Double($0) },
            counts: { (unevenShare($0, $1, $2).count, $1 == 0 ? $0 : 0) },
            pieces: { rank, ranks, total in
                guard rank == 0 else { return [] }
                return (0..<ranks).map { Piece(rank: $0, elements: 0..<unevenShare(total, $0, ranks).count) }
            },
            call: { exchange, group in
                try group.gather(
                    UnsafeRawBufferPointer(exchange.input),
                    byteCounts: (0..<group.size).map {
                        unevenShare(exchange.total, $0, group.size).count * exchange.type.byteCount
                    }, into: exchange.output, to: 0)
            }),
        // The ranks form a ring, in which every rank receives from the one before it.
        Collective(
            name: "send_recv", reduces: false, leastRanks: 2, busFactor: { _ in 1 },
            counts: { total, _, _ in (total, total) },
            pieces: { rank, ranks, total in [Piece(rank: (rank + ranks - 1) % ranks, elements: 0..<total)] },
            call: { exchange, group in
                let tag = MessageTag(rawValue: 1)
                let next = (group.rank + 1) % group.size
                let previous = (group.rank + group.size - 1) % group.size
                // A send may wait for its receiver, so the last rank receives first: otherwise all could wait for ever.
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

/// A pattern of input values whose reductions are exact in every type, so that every element of a result can be
/// checked.
struct Pattern {
    let type: ReducedType
    let reduction: Reduction
    let rankCount: Int

    /// The number of elements after which values repeat.
    ///
    /// Sums stay below 256, which bfloat16 holds exactly.
    var period: Int { reduction == .product ? 2 : max(2, min(8, 256 / rankCount)) }

    func value(_ index: Int, rank: Int) -> Int {
        reduction == .product
            // Factors are powers of two, and only a few differ from 1, so that no type overflows.
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

    /// Gives the bytes of an element, in the low bits.
    private func bits(_ value: Int) -> UInt32 {
        switch type {
        case .float32: Float(value).bitPattern
        case .bfloat16: Float(value).bitPattern >> 16
        case .float16: UInt32(Float16(value).bitPattern)
        case .int8: UInt32(UInt8(truncatingIfNeeded: value))
        }
    }

    /// Gives the bytes of one period of a rank's input, or of the reduction over all ranks.
    private func bytes(rank: Int?) -> [UInt8] {
        (0..<period).flatMap { index in
            let bits = bits(rank.map { value(index, rank: $0) } ?? reduced(index))
            return (0..<type.byteCount).map { UInt8(truncatingIfNeeded: bits >> UInt32(8 * $0)) }
        }
    }

    /// Gives several periods in one block, so that long buffers are written and compared many bytes at a time.
    private func block(rank: Int?) -> [UInt8] {
        let bytes = bytes(rank: rank)
        return (0..<max(1, 4096 / bytes.count)).flatMap { _ in bytes }
    }

    func fill(_ buffer: UnsafeMutableRawBufferPointer, rank: Int) {
        let block = block(rank: rank)
        block.withUnsafeBytes { block in
            for start in stride(from: 0, to: buffer.count, by: block.count) {
                let count = min(block.count, buffer.count - start)
                UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + count]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: block[..<count]))
            }
        }
    }

    /// Counts the elements that differ from what they must be.
    ///
    /// - Parameter tolerance: how far sums of float32 may be off, because they may travel in fewer bytes.
    func countWrong(in output: UnsafeRawBufferPointer, pieces: [Collective.Piece], tolerance: Float = 0) -> Int {
        var wrong = 0
        var at = 0
        for piece in pieces {
            let expected = block(rank: piece.rank)
            // The piece begins at this offset in a block.
            let offset = piece.elements.lowerBound % (expected.count / type.byteCount) * type.byteCount
            expected.withUnsafeBytes { expected in
                var from = offset
                let end = at + piece.elements.count * type.byteCount
                while at < end {
                    let count = min(expected.count - from, end - at)
                    let found = UnsafeRawBufferPointer(rebasing: output[at..<at + count])
                    let wanted = UnsafeRawBufferPointer(rebasing: expected[from..<from + count])
                    if let a = found.baseAddress, let b = wanted.baseAddress, memcmp(a, b, count) != 0 {
                        wrong += differences(found, wanted, tolerance)
                    }
                    (at, from) = (at + count, 0)
                }
            }
        }
        return wrong
    }

    private func differences(_ found: UnsafeRawBufferPointer, _ wanted: UnsafeRawBufferPointer, _ tolerance: Float)
        -> Int
    {
        stride(from: 0, to: found.count, by: type.byteCount).count { start in
            guard tolerance == 0 || type != .float32 else {
                let (a, b) = (
                    found.loadUnaligned(fromByteOffset: start, as: Float.self),
                    wanted.loadUnaligned(fromByteOffset: start, as: Float.self)
                )
                return !(abs(a - b) <= tolerance)
            }
            return !found[start..<start + type.byteCount].elementsEqual(wanted[start..<start + type.byteCount])
        }
    }

    /// Gives how far a sum that travels in the format `wire` may be off (`CompressedCommunicator` says why).
    func tolerance(_ wire: WireType) -> Float {
        let largest = Float(rankCount * (period - 1))
        switch wire {
        case .float32: return 0
        case .bfloat16: return largest / 128
        case .int8: return largest / 126
        }
    }
}

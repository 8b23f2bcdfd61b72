import CCollectives
import Collectives

/// The format in which a sum of float32 travels between ranks.
public enum WireType: String, CaseIterable, Sendable {
    case float32
    /// Half the bytes; values are rounded before and after the sum.
    case bfloat16
    /// 34 bytes for 32 elements: a scale and a code for each element, as `compress.h` describes.
    case int8
}

/// A communicator that sends sums of float32 in fewer bytes, for slow links; other operations are unchanged.
///
/// With int8 each term is off by at most 1/252 of the largest value in its group of 32; with more than two ranks the
/// sum is rounded the same way once more. Every rank gets the same bits, but they depend on the number of ranks, so
/// that a model's answer is no longer the same with every plan.
public final class CompressedCommunicator: WrappedCommunicator {
    public let inner: any Communicator
    private let type: WireType
    private var scratch = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    /// Makes a communicator that sends sums over `inner` in the format `type`.
    public init(_ inner: any Communicator, type: WireType) {
        self.inner = inner
        self.type = type
    }

    deinit {
        scratch.deallocate()
    }

    public func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        guard type == .float32, reduction == .sum, size > 1, input.count > 0 else {
            return try inner.allReduce(input, into: output, type, reduction)
        }
        try requireReduction(input: input.count, output: output.count, type, .allReduce)
        let values = input.bindMemory(to: Float.self)
        let sums = output.bindMemory(to: Float.self)
        switch self.type {
        case .float32: try inner.allReduce(input, into: output, type, reduction)
        case .bfloat16: try reduceRounded(values, into: sums)
        case .int8 where size == 2: try reduceWhole(values, into: sums)
        case .int8: try reduceByShares(values, into: sums)
        }
    }

    private func reduceRounded(
        _ values: UnsafeBufferPointer<Float>, into sums: UnsafeMutableBufferPointer<Float>
    ) throws(CommunicationError) {
        let rounded = room(for: 2 * values.count)
        guard let from = values.baseAddress, let to = sums.baseAddress, let place = rounded.baseAddress else { return }
        let words = place.assumingMemoryBound(to: UInt16.self)
        cc_narrow_bfloat16(from, words, values.count)
        try inner.allReduce(UnsafeRawBufferPointer(rounded), into: rounded, .bfloat16, .sum)
        cc_widen_bfloat16(words, to, values.count)
    }

    /// Sums over two ranks: each sends all of its codes.
    ///
    /// That is as many bytes as two exchanges of halves, in one exchange.
    private func reduceWhole(
        _ values: UnsafeBufferPointer<Float>, into sums: UnsafeMutableBufferPointer<Float>
    ) throws(CommunicationError) {
        let byteCount = cc_code_bytes(values.count)
        let all = room(for: 3 * byteCount)
        guard let from = values.baseAddress, let to = sums.baseAddress, let base = all.baseAddress else { return }
        cc_encode(from, values.count, base + 2 * byteCount)
        try inner.allGather(
            UnsafeRawBufferPointer(start: base + 2 * byteCount, count: byteCount),
            into: UnsafeMutableRawBufferPointer(start: base, count: 2 * byteCount))
        sum(2, at: base, stride: byteCount, into: to, count: values.count)
    }

    /// Sums over more ranks: each adds up the codes of its share, and sends codes of the sums to all.
    private func reduceByShares(
        _ values: UnsafeBufferPointer<Float>, into sums: UnsafeMutableBufferPointer<Float>
    ) throws(CommunicationError) {
        // Shares consist of whole groups. The last ones may be shorter, or empty, but travel at full length.
        let group = Int(CC_GROUP)
        let share = ((values.count + group - 1) / group + size - 1) / size * group
        let byteCount = cc_code_bytes(share)
        func elements(_ rank: Int) -> Range<Int> {
            min(values.count, rank * share)..<min(values.count, (rank + 1) * share)
        }
        let all = room(for: (2 * size + 1) * byteCount)
        guard let from = values.baseAddress, let to = sums.baseAddress, let base = all.baseAddress else { return }
        let received = base + size * byteCount
        all.initializeMemory(as: UInt8.self, repeating: 0)
        for rank in 0..<size where !elements(rank).isEmpty {
            cc_encode(from + elements(rank).lowerBound, elements(rank).count, base + rank * byteCount)
        }
        try inner.allToAll(
            UnsafeRawBufferPointer(start: base, count: size * byteCount),
            into: UnsafeMutableRawBufferPointer(start: received, count: size * byteCount))
        let mine = elements(rank)
        let codes = received + size * byteCount
        if !mine.isEmpty {
            sum(size, at: received, stride: byteCount, into: to + mine.lowerBound, count: mine.count)
            cc_encode(to + mine.lowerBound, mine.count, codes)
        }
        try inner.allGather(
            UnsafeRawBufferPointer(start: codes, count: byteCount),
            into: UnsafeMutableRawBufferPointer(start: base, count: size * byteCount))
        for rank in 0..<size where !elements(rank).isEmpty {
            sum(
                1, at: base + rank * byteCount, stride: byteCount, into: to + elements(rank).lowerBound,
                count: elements(rank).count)
        }
    }

    /// Decodes and adds up the codes of `termCount` ranks, which lie `stride` bytes apart.
    private func sum(
        _ termCount: Int, at base: UnsafeMutableRawPointer, stride: Int, into sums: UnsafeMutablePointer<Float>,
        count: Int
    ) {
        withUnsafeTemporaryAllocation(of: UnsafeRawPointer.self, capacity: termCount) { terms in
            for term in 0..<termCount { terms.initializeElement(at: term, to: UnsafeRawPointer(base + term * stride)) }
            guard let terms = terms.baseAddress else { return }
            cc_sum_codes(terms, Int32(termCount), sums, count)
        }
    }

    private func room(for byteCount: Int) -> UnsafeMutableRawBufferPointer {
        if scratch.count < byteCount {
            scratch.deallocate()
            scratch = .allocate(byteCount: byteCount, alignment: 64)
        }
        return UnsafeMutableRawBufferPointer(rebasing: scratch[..<byteCount])
    }
}

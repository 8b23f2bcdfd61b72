import CCollectives
import Collectives
import TestSupport
import Testing

/// Reductions and codes in C against their definitions in Swift.
@Suite struct CombineTests {
    /// Swift and C name types, reductions and operations by the same numbers.
    @Test func numbersAgree() {
        let calls: [CollectiveOperation: cc_window_call] = [
            .barrier: CC_WINDOW_BARRIER, .allReduce: CC_WINDOW_ALL_REDUCE, .reduceScatter: CC_WINDOW_REDUCE_SCATTER,
            .allGather: CC_WINDOW_ALL_GATHER, .gather: CC_WINDOW_GATHER, .broadcast: CC_WINDOW_BROADCAST,
            .allToAll: CC_WINDOW_ALL_TO_ALL,
        ]
        for (operation, call) in calls { #expect(Int32(call.rawValue) == operation.rawValue, "\(operation)") }
        let types: [ReducedType: cc_type] = [
            .float32: CC_FLOAT32, .bfloat16: CC_BFLOAT16, .float16: CC_FLOAT16, .int8: CC_INT8,
        ]
        let reductions: [Reduction: cc_reduction] = [
            .sum: CC_SUM, .product: CC_PRODUCT, .minimum: CC_MINIMUM, .maximum: CC_MAXIMUM,
        ]
        for type in ReducedType.allCases {
            #expect(types[type].map { Int32($0.rawValue) } == type.rawValue, "\(type)")
            #expect(types[type].map(cc_type_bytes) == type.byteCount, "\(type)")
        }
        for reduction in Reduction.allCases {
            #expect(reductions[reduction].map { Int32($0.rawValue) } == reduction.rawValue, "\(reduction)")
        }
    }

    /// Lengths around the ends of vectors and blocks, into memory of its own and into that of a term.
    @Test(arguments: ReducedType.allCases, 1...9) func combinesInTheTreesOrder(type: ReducedType, terms count: Int) {
        for length in [0, 1, 15, 16, 17, 64, 511, 512, 513, 1100] {
            for reduction in Reduction.allCases {
                let terms = (0..<count).map { Law.randomElements(type, count: length, seed: UInt64($0 + length)) }
                let expected = Law.reference(terms, type, reduction)
                for place in [count, 0, count - 1] {
                    // One room more, for the result apart from the terms.
                    var memory = terms.flatMap(\.self) + [UInt8](repeating: 0, count: expected.count)
                    memory.withUnsafeMutableBytes { memory in
                        guard let base = memory.baseAddress else { return }
                        let pointers = (0..<count).map { UnsafeRawPointer(base + $0 * expected.count) }
                        cc_combine(
                            cc_type(UInt32(type.rawValue)), cc_reduction(UInt32(reduction.rawValue)), pointers,
                            Int32(count), base + place * expected.count, length)
                    }
                    let found = Array(memory[place * expected.count..<(place + 1) * expected.count])
                    #expect(found == expected, "\(reduction) of \(length) elements, into place \(place)")
                }
            }
        }
    }

    /// An element is off by half a scale at most, and the last group may be short.
    @Test(arguments: [1, 31, 32, 33, 1000]) func codesAreAsExactAsPromised(count: Int) {
        let values = Law.randomTerms(count: count, seed: 7)
        var codes = [UInt8](repeating: 0, count: cc_code_bytes(count))
        cc_encode(values, count, &codes)
        var found = [Float](repeating: 0, count: count)
        codes.withUnsafeBytes { codes in
            guard let base = codes.baseAddress else { return }
            cc_sum_codes([base], 1, &found, count)
        }
        for start in stride(from: 0, to: count, by: Int(CC_GROUP)) {
            let group = start..<min(count, start + Int(CC_GROUP))
            let largest = group.map { abs(values[$0]) }.max() ?? 0
            #expect(group.allSatisfy { abs(found[$0] - values[$0]) <= largest / 252 * 1.001 }, "group at \(start)")
        }
    }
}

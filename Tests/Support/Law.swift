import Collectives

/// What every communicator must do, whatever carries its bytes: one law for ranks as threads and ranks as processes.
///
/// Every rank of the group calls each function; a violation is thrown, because ranks as threads have no test context.
public struct Law {
    let group: any Communicator

    /// Makes the law of a group.
    public init(group: any Communicator) {
        self.group = group
    }

    struct Violation: Error, CustomStringConvertible {
        let description: String
    }

    /// All of it.
    public func check() throws {
        try sumsAreExact()
        try sumsFollowTheTree()
        try reductions()
        try scatters()
        try places()
        try gathers()
        try exchanges()
        try broadcasts()
        try sendsAround()
        try splits()
        try group.barrier()
    }

    public func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws {
        guard condition else { throw Violation(description: "rank \(group.rank) of \(group.size): \(what())") }
    }

    /// Lengths around the changes of algorithm and the ends of vectors and segments.
    static let lengths = [0, 1, 3, 15, 16, 17, 33, 100, 1000, 4099, 20_000]

    func sumsAreExact() throws {
        for length in Self.lengths {
            var values = (0..<length).map { Float(($0 % 1000) * (group.rank + 1)) }
            try values.withUnsafeMutableBufferPointer { try group.allReduce($0) }
            let factor = group.size * (group.size + 1) / 2
            let wrong = values.indices.first { values[$0] != Float(($0 % 1000) * factor) }
            try expect(wrong == nil, "allReduce of \(length): element \(wrong ?? 0) is wrong")
        }
    }

    /// Random terms of very different sizes: nearly every other order of addition gives other bits.
    func sumsFollowTheTree() throws {
        for length in Self.lengths {
            let terms = (0..<group.size).map { Self.randomTerms(count: length, seed: UInt64($0 + 1)) }
            var values = terms[group.rank]
            try values.withUnsafeMutableBufferPointer { try group.allReduce($0) }
            for index in stride(from: 0, to: length, by: max(1, length / 500 | 1)) {
                let expected = Self.treeSum(terms.map { $0[index] }[...])
                try expect(
                    values[index].bitPattern == expected.bitPattern,
                    "allReduce of \(length): element \(index) is \(values[index]), the tree gives \(expected)")
            }
        }
    }

    /// The definition, written as it is said: halves of halves, the longer half first.
    static func treeSum(_ terms: ArraySlice<Float>) -> Float {
        if terms.count == 1 { return terms[terms.startIndex] }
        let middle = terms.startIndex + (terms.count + 1) / 2
        return treeSum(terms[..<middle]) + treeSum(terms[middle...])
    }

    public static func randomTerms(count: Int, seed: UInt64) -> [Float] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let mantissa = Float(Int32(truncatingIfNeeded: state >> 32)) / 2_147_483_648
            let exponent = Int((state >> 20) % 12)
            return mantissa * Float(sign: .plus, exponent: exponent, significand: 1)
        }
    }

    /// Every type and reduction against the reference, over random bits: special values too.
    func reductions() throws {
        for type in ReducedType.allCases {
            for reduction in Reduction.allCases {
                for length in [1, 7, 33, 130, 1000, 9001] where length < 1000 || reduction == .sum {
                    let terms = (0..<group.size).map {
                        Self.randomElements(type, count: length, seed: UInt64($0 + length))
                    }
                    var found = terms[group.rank]
                    try found.withUnsafeMutableBytes { found in
                        try group.allReduce(UnsafeRawBufferPointer(found), into: found, type, reduction)
                    }
                    let expected = Self.reference(terms, type, reduction)
                    try expect(found == expected, "\(reduction) of \(length) elements of \(type)")
                }
            }
        }
    }

    public func scatters() throws {
        for type in ReducedType.allCases {
            for length in [0, 1, 40, 3001] {
                let terms = (0..<group.size).map {
                    Self.randomElements(type, count: length * group.size, seed: UInt64($0 + length))
                }
                var found = [UInt8](repeating: 0, count: length * type.byteCount)
                try terms[group.rank].withUnsafeBytes { mine in
                    try found.withUnsafeMutableBytes { try group.reduceScatter(mine, into: $0, type, .sum) }
                }
                let start = group.rank * found.count
                let expected = Self.reference(terms, type, .sum)[start..<start + found.count]
                try expect(found == Array(expected), "reduceScatter of \(length) elements of \(type) a rank")
            }
        }
    }

    /// An input that was written where it need not be copied from, on ranks that have such a place.
    func places() throws {
        for length in [16, 2048, 20_000] {
            let terms = (0..<group.size).map { Self.randomElements(.float32, count: length, seed: UInt64($0)) }
            var mine = terms[group.rank]
            var found = [UInt8](repeating: 0, count: mine.count)
            let place = try group.place(ofByteCount: mine.count)
            place?.copyMemory(from: mine, byteCount: mine.count)
            try mine.withUnsafeMutableBytes { mine in
                try found.withUnsafeMutableBytes {
                    try group.allReduce(
                        UnsafeRawBufferPointer(start: place ?? mine.baseAddress, count: mine.count), into: $0, .float32,
                        .sum)
                }
            }
            try expect(
                found == Self.reference(terms, .float32, .sum), "a sum of \(length) elements from the shared place")
        }
    }

    public static func reference(_ terms: [[UInt8]], _ type: ReducedType, _ reduction: Reduction) -> [UInt8] {
        let copies = terms.map { term in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, term.count), alignment: 16)
            copy.copyBytes(from: term)
            return copy
        }
        defer { for copy in copies { copy.deallocate() } }
        guard let first = copies.first?.baseAddress else { return [] }
        reduction.combine(
            copies.compactMap { $0.baseAddress.map { UnsafeRawPointer($0) } }, into: first, type,
            count: terms[0].count / type.byteCount)
        return Array(UnsafeRawBufferPointer(start: first, count: terms[0].count))
    }

    /// Elements of every size, infinities among them, without numbers that are none: which of two of those a sum gives is
    /// the processor's choice.
    public static func randomElements(_ type: ReducedType, count: Int, seed: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count * type.byteCount)
        for (index, value) in randomTerms(count: count, seed: seed &+ 99).enumerated() {
            let special = index % 97 == 5
            switch type {
            case .float32: withUnsafeBytes(of: special ? -0.0 : value) { bytes.append(contentsOf: $0) }
            case .bfloat16:
                let bits = UInt16((special ? Float(1e38) : value).bitPattern >> 16)
                withUnsafeBytes(of: bits) { bytes.append(contentsOf: $0) }
            case .float16:
                // 6e-8 is subnormal, 60,000 overflows in a sum.
                let number = special ? (index % 2 == 0 ? Float(6e-8) : 60_000) : value
                withUnsafeBytes(of: Float16(number).bitPattern) { bytes.append(contentsOf: $0) }
            case .int8: bytes.append(UInt8(truncatingIfNeeded: Int(value * 37)))
            }
        }
        return bytes
    }

    public func gathers() throws {
        for length in [0, 1, 7, 1000, 20_000] {
            let mine = bytes(of: group.rank, length)
            var all = [UInt8](repeating: 0xEE, count: length * group.size)
            try mine.withUnsafeBytes { mine in
                try all.withUnsafeMutableBytes { try group.allGather(mine, into: $0) }
            }
            try expect(all == (0..<group.size).flatMap { bytes(of: $0, length) }, "allGather of \(length) bytes")
        }
        for root in 0..<group.size {
            let counts = (0..<group.size).map { ($0 * 37) % 50 + ($0 == 1 ? 20_000 : 0) }
            let mine = bytes(of: group.rank, counts[group.rank])
            var all = [UInt8](repeating: 0, count: group.rank == root ? counts.reduce(0, +) : 0)
            try mine.withUnsafeBytes { mine in
                try all.withUnsafeMutableBytes { try group.gather(mine, byteCounts: counts, into: $0, to: root) }
            }
            guard group.rank == root else { continue }
            try expect(all == (0..<group.size).flatMap { bytes(of: $0, counts[$0]) }, "gather to \(root)")
        }
    }

    public func exchanges() throws {
        for length in [0, 1, 7, 1000, 20_000] {
            // A share of each rank for each: named after both.
            let mine = (0..<group.size).flatMap { bytes(of: 10 * group.rank + $0, length) }
            var found = [UInt8](repeating: 0xEE, count: mine.count)
            try mine.withUnsafeBytes { mine in
                try found.withUnsafeMutableBytes { try group.allToAll(mine, into: $0) }
            }
            let expected = (0..<group.size).flatMap { bytes(of: 10 * $0 + group.rank, length) }
            try expect(found == expected, "allToAll of \(length) bytes for each rank")
        }
    }

    public func broadcasts() throws {
        for root in 0..<group.size {
            for length in [0, 1, 1000, 20_000] {
                var data = bytes(of: group.rank, length)
                try data.withUnsafeMutableBytes { try group.broadcast($0, from: root) }
                try expect(data == bytes(of: root, length), "broadcast of \(length) bytes from \(root)")
            }
        }
    }

    /// A message travels once around the ring, then two tags cross.
    public func sendsAround() throws {
        guard group.size > 1 else { return }
        let next = (group.rank + 1) % group.size
        let previous = (group.rank + group.size - 1) % group.size
        var token = [UInt8](repeating: 0, count: 20_000)
        if group.rank == 0 {
            token = bytes(of: 7, token.count)
            try token.withUnsafeBytes { try group.send($0, to: next, tag: MessageTag(rawValue: 5)) }
        }
        try token.withUnsafeMutableBytes { try group.receive(into: $0, from: previous, tag: MessageTag(rawValue: 5)) }
        if group.rank != 0 {
            try token.withUnsafeBytes { try group.send($0, to: next, tag: MessageTag(rawValue: 5)) }
        }
        try expect(token == bytes(of: 7, token.count), "the ring's message")

        for (first, tag) in [(UInt8(1), 16383), (UInt8(2), 0)] where group.rank == 0 {
            try [first].withUnsafeBytes { try group.send($0, to: 1, tag: MessageTag(rawValue: Int32(tag))) }
        }
        if group.rank == 1 {
            var found: [UInt8] = [0, 0]
            try found.withUnsafeMutableBytes { found in
                for (index, tag) in [0, 16383].enumerated() {
                    let one = UnsafeMutableRawBufferPointer(rebasing: found[index...index])
                    try group.receive(into: one, from: 0, tag: MessageTag(rawValue: Int32(tag)))
                }
            }
            try expect(found == [2, 1], "two tags that cross: \(found)")
        }
    }

    func splits() throws {
        // Odd and even ranks, in reverse order, with colors and keys that do not fit in 32 bits.
        let color = group.rank % 2 == 0 ? Int.min : Int.max
        let part = try group.split(color: color, key: -(group.rank << 33))
        let peers = (0..<group.size).filter { $0 % 2 == group.rank % 2 }.reversed().map(\.self)
        try expect(part.size == peers.count, "split gives a group of \(part.size)")
        try expect(peers[part.rank] == group.rank, "split gives rank \(part.rank)")
        var sum = [Float(group.rank)]
        try sum.withUnsafeMutableBufferPointer { try part.allReduce($0) }
        try expect(sum == [Float(peers.reduce(0, +))], "the sum of a part is \(sum)")
        let again = try part.split(color: 0, key: 0)
        try expect(again.size == part.size && again.rank == part.rank, "a split of a split")
    }

    func bytes(of rank: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ rank &* 101 &+ 1) }
    }
}

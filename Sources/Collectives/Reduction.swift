/// Types of elements that can be reduced over a group.
public enum ReducedType: Int32, CaseIterable, Sendable {
    case float32 = 0
    /// Values are combined in float32, and the result is rounded once.
    case bfloat16 = 1
    /// Values are combined in float32, and the result is rounded once.
    case float16 = 2
    /// Sums and products wrap around.
    case int8 = 3

    /// The bytes of one element.
    public var byteCount: Int {
        switch self {
        case .float32: 4
        case .bfloat16, .float16: 2
        case .int8: 1
        }
    }
}

/// How elements of several ranks are combined into one, in the order of `ReductionTree`.
public enum Reduction: Int32, CaseIterable, Sendable {
    case sum = 0
    case product = 1
    /// The smaller value; the lower rank's if either is NaN.
    case minimum = 2
    /// The larger value; the lower rank's if either is NaN.
    case maximum = 3
}

extension Reduction {
    /// Reduces terms of several ranks, element by element: the reference that faster ways are compared with.
    ///
    /// - Parameters:
    ///   - terms: each rank's elements.
    ///   - output: room for the results; it may be one of `terms`.
    ///   - count: the number of elements of each rank.
    package func combine(
        _ terms: [UnsafeRawPointer], into output: UnsafeMutableRawPointer, _ type: ReducedType, count: Int
    ) {
        for i in 0..<count {
            switch type {
            case .float32:
                let result: Float = tree(terms[...]) { $0.loadUnaligned(fromByteOffset: i * 4, as: Float.self) }
                output.storeBytes(of: result, toByteOffset: i * 4, as: Float.self)
            case .bfloat16:
                let result: Float = tree(terms[...]) {
                    Float(bitPattern: UInt32($0.loadUnaligned(fromByteOffset: i * 2, as: UInt16.self)) << 16)
                }
                output.storeBytes(of: Self.bfloat16(result), toByteOffset: i * 2, as: UInt16.self)
            case .float16:
                let result: Float = tree(terms[...]) {
                    Float(Float16(bitPattern: $0.loadUnaligned(fromByteOffset: i * 2, as: UInt16.self)))
                }
                output.storeBytes(of: Float16(result).bitPattern, toByteOffset: i * 2, as: UInt16.self)
            case .int8:
                let result: Int8 = tree(terms[...]) { $0.load(fromByteOffset: i, as: Int8.self) }
                output.storeBytes(of: result, toByteOffset: i, as: Int8.self)
            }
        }
    }

    private func tree(_ terms: ArraySlice<UnsafeRawPointer>, _ load: (UnsafeRawPointer) -> Float) -> Float {
        guard terms.count > 1 else { return load(terms[terms.startIndex]) }
        let half = terms.startIndex + ReductionTree.firstHalf(of: terms.count)
        let (a, b) = (tree(terms[..<half], load), tree(terms[half...], load))
        switch self {
        case .sum: return a + b
        case .product: return a * b
        case .minimum: return b < a ? b : a
        case .maximum: return b > a ? b : a
        }
    }

    private func tree(_ terms: ArraySlice<UnsafeRawPointer>, _ load: (UnsafeRawPointer) -> Int8) -> Int8 {
        guard terms.count > 1 else { return load(terms[terms.startIndex]) }
        let half = terms.startIndex + ReductionTree.firstHalf(of: terms.count)
        let (a, b) = (tree(terms[..<half], load), tree(terms[half...], load))
        switch self {
        case .sum: return a &+ b
        case .product: return a &* b
        case .minimum: return min(a, b)
        case .maximum: return max(a, b)
        }
    }

    /// Rounds to nearest, ties to even; NaN stays NaN.
    private static func bfloat16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        if value.isNaN { return UInt16(bits >> 16) | 0x40 }
        return UInt16((bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
    }
}

import Checkpoints
import Tensors
import Testing

@testable import Quantization

/// A float matrix in memory.
struct ArrayMatrix: MatrixSource {
    let name = "w"
    let rows: Int
    let columns: Int
    var values: [Float]
    let encoding = MatrixEncoding.float(.float32)

    init(rows: Int, columns: Int) {
        (self.rows, self.columns) = (rows, columns)
        // Any numbers will do, so long as groups differ in range and sign.
        values = (0..<rows * columns).map { index in
            let spread = Float(index * 7919 % 1009) / 1009 - 0.4
            return spread * Float(1 + index / 11 % 5)
        }
    }

    func readFloats(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        var destination = out
        for row in rows {
            for column in columns {
                destination.pointee = values[row * self.columns + column]
                destination += 1
            }
        }
    }

    func readCodes(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Int8>) {}
    func readScales(
        rows: Range<Int>, columns: Range<Int>, into scales: UnsafeMutablePointer<Float>,
        zeroPoints: UnsafeMutablePointer<Float>?
    ) {}
    func release(rows: Range<Int>) {}
    func checkUnchanged() {}
}

/// The result of a read of integers.
struct IntegerStrip: Equatable {
    var codes: [Int8]
    var scales: [Float]
    var zeroPoints: [Float]
}

extension MatrixSource {
    /// `readGroups` as arrays.
    func integers(rows: Range<Int>, columns: Range<Int>) -> IntegerStrip {
        let count = rows.count * groups(touching: columns).count
        var strip = IntegerStrip(
            codes: [Int8](repeating: 77, count: rows.count * columns.count),
            scales: [Float](repeating: -1, count: count), zeroPoints: [Float](repeating: -1, count: count))
        readGroups(
            rows: rows, columns: columns, codes: &strip.codes, scales: &strip.scales, zeroPoints: &strip.zeroPoints)
        return strip
    }

    /// `readFloats` as an array.
    func floats(rows: Range<Int>, columns: Range<Int>) -> [Float] {
        var values = [Float](repeating: .nan, count: rows.count * columns.count)
        readFloats(rows: rows, columns: columns, into: &values)
        return values
    }
}

@Suite struct QuantizingSourceTests {
    static let granularities: [IntegerScheme.Granularity] = [.group(8), .group(32), .group(7), .channel, .tensor]

    @Test(arguments: granularities, [true, false])
    func columnRangesEqualTheWhole(granularity: IntegerScheme.Granularity, symmetric: Bool) throws {
        let base = ArrayMatrix(rows: 5, columns: 53)
        for bits in [4, 8] {
            let scheme = try IntegerScheme(bits: bits, granularity: granularity, isSymmetric: symmetric)
            let source = try QuantizingSource(base, scheme: scheme)
            let whole = source.integers(rows: 0..<5, columns: 0..<53)
            let groupSize = scheme.groupSize(columns: 53)
            let groupCount = (53 + groupSize - 1) / groupSize
            for rows in [0..<5, 1..<2, 3..<5] {
                for low in 0..<53 {
                    for high in stride(from: low + 1, through: 53, by: low % 5 + 1) {
                        let columns = low..<high
                        let groups = low / groupSize..<(high - 1) / groupSize + 1
                        let expected = IntegerStrip(
                            codes: rows.flatMap { row in columns.map { whole.codes[row * 53 + $0] } },
                            scales: rows.flatMap { row in groups.map { whole.scales[row * groupCount + $0] } },
                            zeroPoints: rows.flatMap { row in groups.map { whole.zeroPoints[row * groupCount + $0] } })
                        #expect(source.integers(rows: rows, columns: columns) == expected)
                        var codes = expected.codes.map { _ in Int8(1) }
                        source.readCodes(rows: rows, columns: columns, into: &codes)
                        var scales = expected.scales
                        source.readScales(rows: rows, columns: columns, into: &scales, zeroPoints: nil)
                        #expect(codes == expected.codes && scales == expected.scales)
                        let floats = rows.enumerated().flatMap { index, row in
                            columns.map { column -> Float in
                                let place = index * groups.count + column / groupSize - groups.lowerBound
                                let code = expected.codes[index * columns.count + column - low]
                                return expected.scales[place] * (Float(code) - expected.zeroPoints[place])
                            }
                        }
                        #expect(source.floats(rows: rows, columns: columns) == floats)
                    }
                }
            }
        }
    }

    /// The definitions of `IntegerEncoder`, once more and slowly.
    @Test(arguments: granularities, [4, 8])
    func theWholeEqualsTheDefinition(granularity: IntegerScheme.Granularity, bits: Int) throws {
        let base = ArrayMatrix(rows: 4, columns: 45)
        let scheme = try IntegerScheme(bits: bits, granularity: granularity)
        let strip = try QuantizingSource(base, scheme: scheme).integers(rows: 0..<4, columns: 0..<45)
        let groupSize = scheme.groupSize(columns: 45)
        let limit = Float(1 << (bits - 1) - 1)
        for row in 0..<4 {
            for column in 0..<45 {
                let first = column / groupSize * groupSize
                let members =
                    granularity == .tensor
                    ? base.values : Array(base.values[row * 45 + first..<row * 45 + min(first + groupSize, 45)])
                let scale = members.map(abs).reduce(0, max) / limit
                let code = (base.values[row * 45 + column] / scale).rounded(.toNearestOrEven)
                #expect(strip.codes[row * 45 + column] == Int8(code))
                #expect(strip.scales[row * strip.scales.count / 4 + column / groupSize] == scale)
            }
        }
    }

    @Test func weightsThatAreNotFinite() throws {
        var base = ArrayMatrix(rows: 3, columns: 16)
        base.values[16 + 9] = .nan
        for granularity in [IntegerScheme.Granularity.group(8), .channel] {
            let source = try QuantizingSource(base, scheme: IntegerScheme(bits: 8, granularity: granularity))
            _ = source.integers(rows: 0..<1, columns: 0..<16)
            try source.checkFinite()
            #expect(source.integers(rows: 1..<2, columns: 8..<16).scales[0].isNaN)
            #expect(throws: QuantizationError.notFinite(tensor: "w", row: 1)) { try source.checkFinite() }
        }
        #expect(throws: QuantizationError.notFinite(tensor: "w", row: 1)) {
            try QuantizingSource(base, scheme: IntegerScheme(bits: 8, granularity: .tensor))
        }
    }

    @Test func emptyMatrices() throws {
        for granularity in Self.granularities {
            let scheme = try IntegerScheme(bits: 4, granularity: granularity, isSymmetric: false)
            let source = try QuantizingSource(ArrayMatrix(rows: 0, columns: 0), scheme: scheme)
            #expect(source.integers(rows: 0..<0, columns: 0..<0).codes.isEmpty)
        }
    }
}

import Tensors
import Testing

@Suite struct SizeTests {
    @Test func packedFloatsByHand() {
        // 17 rows are 2 panels of 16.
        expect(.float32, rows: 17, columns: 10, codes: 2 * 10 * 16 * 4)
        expect(.float16, rows: 17, columns: 10, codes: 2 * 10 * 16 * 2)
        // Columns go in pairs, and pairs in runs.
        expect(.bfloat16, rows: 16, columns: 5, run: 2, codes: 6 * 16 * 2)
        expect(.bfloat16, rows: 1, columns: 40, run: 32, codes: 64 * 16 * 2)
        expect(.float32, rows: 0, columns: 10, codes: 0)
    }

    @Test func packedIntegersByHand() {
        // 40 columns touch 2 groups of 32; a scale is 4 bytes in each of 16 rows.
        let eight = ComputeFormat.int8(WeightGroups(size: 32))
        expect(eight, rows: 16, columns: 40, codes: 40 * 16, scales: 2 * 16 * 4)
        // A zero point is a byte.
        expect(
            .int8(WeightGroups(size: 32, isSymmetric: false)), rows: 16, columns: 40, codes: 40 * 16, scales: 128,
            zeros: 32)
        // Two nibbles to a byte.
        expect(
            .int4(WeightGroups(size: 32, scaleType: .float32)), rows: 16, columns: 40, codes: 40 * 8, scales: 128)
        expect(
            .int4(WeightGroups(size: 128, isSymmetric: false, scaleType: .bfloat16)), rows: 33, columns: 256,
            codes: 3 * 256 * 8, scales: 192, zeros: 96)
        // Steps have 4 columns, or 8 of 4 bits.
        expect(eight, rows: 16, columns: 33, codes: 36 * 16, scales: 128)
        expect(.int4(WeightGroups(size: 64)), rows: 16, columns: 33, codes: 40 * 8, scales: 64)
        // 40 columns that start 30 into a group of 32 touch three: 2, 32 and 6 of them.
        expect(eight, rows: 16, columns: 40, offset: 30, codes: 640, scales: 3 * 64)
        expect(eight, rows: 16, columns: 40, offset: 24, codes: 640, scales: 2 * 64)
        expect(eight, rows: 16, columns: 0, offset: 24, codes: 0)
    }

    @Test func groupsAreThoseThatTheColumnsTouch() {
        var faults: [String] = []
        for group in [1, 4, 20, 32, 128] {
            for columns in 0...200 {
                for offset in 0...(2 * group) {
                    // Column k lies in group (offset + k) / group of the whole matrix.
                    let touched = Set((0..<columns).map { (offset + $0) / group }).count
                    let found = WeightGroups(size: group).count(columns: columns, offset: offset)
                    if found != touched {
                        faults.append("\(columns) of \(group) from \(offset): \(found), expected \(touched)")
                    }
                }
            }
        }
        #expect(faults.isEmpty, "\(faults.count), first \(faults.prefix(3))")
    }

    @Test func formatsTellTheirGroups() {
        #expect(ComputeFormat.float32.groups == nil && ComputeFormat.bfloat16.groups == nil)
        let groups = WeightGroups(size: 64, isSymmetric: false, scaleType: .float16)
        #expect(ComputeFormat.int8(groups).groups == groups && ComputeFormat.int4(groups).groups == groups)
    }

    @Test func elementTypes() {
        #expect(Set(ElementType.allCases.map(\.rawValue)).count == ElementType.allCases.count)
        for type in ElementType.allCases {
            // Safetensors' names end in the bits, but for the 8-bit floats and BOOL.
            let bits = Int(type.rawValue.drop { !$0.isNumber }.prefix { $0.isNumber }) ?? 8
            #expect(type.byteCount == bits / 8)
        }
        #expect(KeyValueType.allCases.map(\.byteCount) == [4, 2, 2, 1, 1])
        // Values of 12 elements are padded to 16; int8 has two scales.
        #expect(KeyValueType.float16.byteCount(headDimension: 12) == (24, 32, 0))
        #expect(KeyValueType.int8.byteCount(headDimension: 12) == (12, 16, 8))
    }

    @Test func sizesForPeople() {
        let sizes: [(Int, String)] = [
            (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"), (1034, "1.01 KiB"),
            (1 << 20, "1.00 MiB"), (3 << 29, "1.50 GiB"), ((1 << 30) + (1 << 26), "1.06 GiB"), (1 << 40, "1.00 TiB"),
            (1 << 50, "1024.00 TiB"), (Int.max, "8388608.00 TiB"),
        ]
        for (byteCount, text) in sizes { #expect(formattedByteCount(byteCount) == text) }
    }

    private func expect(
        _ format: ComputeFormat, rows: Int, columns: Int, run: Int = 32, offset: Int = 0, codes: Int, scales: Int = 0,
        zeros: Int = 0, location: SourceLocation = #_sourceLocation
    ) {
        let found = format.byteCount(rows: rows, columns: columns, run: run, offset: offset)
        #expect(
            (found.codes, found.scales, found.zeros) == (codes, scales, zeros), "\(found)", sourceLocation: location)
        #expect(found.total == codes + scales + zeros, sourceLocation: location)
    }
}

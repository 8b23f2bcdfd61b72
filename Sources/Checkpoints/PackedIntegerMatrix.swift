import Tensors

/// A matrix in compressed-tensors' `pack-quantized` layout, 4 or 8 bits.
///
/// `weight_packed` I32 [rows, ceil(columns · bits / 32)]: code + 2^(bits-1), the first column in the lowest bits;
/// `weight_scale` [rows, groups], [rows, 1] or [1]; `weight_shape` [2] = rows, columns; where asymmetric,
/// `weight_zero_point` packed like the codes but along the rows, I32 [ceil(rows · bits / 32), groups], or, with one
/// scale for the matrix, a plain I8 [1]. Source: compressed-tensors 0.20.0, `compressors/pack_quantized`.
struct PackedIntegerMatrix: MatrixSource {
    let name: String
    let rows: Int
    let columns: Int
    let encoding: MatrixEncoding

    private let bits: Int
    private let groupSize: Int
    private let packed: StoredTensor
    private let packedRowByteCount: Int
    private let scales: StoredTensor
    private let scaleFormat: FloatFormat
    /// The number of scales from the start of one row to the start of the next; 0 if the matrix has one scale.
    private let scaleRowStride: Int
    private let zeroPoints: StoredTensor?

    /// Finds and checks the tensors whose names begin with `name`.
    ///
    /// - Throws: `missingTensor`, `malformedTensor`, `unsupported`.
    init(name: String, scheme: QuantizationConfiguration.Scheme, in checkpoint: Checkpoint) throws(CheckpointError) {
        let parts = PackedTensors(name: name, checkpoint: checkpoint)
        let packed = try parts.required("weight_packed")
        let (rows, columns) = try parts.shape(packed: packed, bits: scheme.bits)
        self.name = name
        self.rows = rows
        self.columns = columns
        bits = scheme.bits
        self.packed = packed
        packedRowByteCount = (columns * bits + 31) / 32 * 4

        let groupCount: Int
        switch scheme.granularity {
        case .group(let size):
            groupSize = size
            groupCount = max(1, (columns + size - 1) / size)
            scaleRowStride = groupCount
        case .channel:
            groupSize = max(1, columns)
            groupCount = 1
            scaleRowStride = 1
        case .tensor:
            groupSize = max(1, columns)
            groupCount = 1
            scaleRowStride = 0
        }
        let isWhole = scheme.granularity == .tensor
        scales = try parts.scales(rows: rows, groupCount: groupCount, isWhole: isWhole)
        scaleFormat = try FloatFormat(of: scales)
        encoding = .integer(
            bits: scheme.bits,
            WeightGroups(size: groupSize, isSymmetric: scheme.isSymmetric, scaleType: scales.type))
        zeroPoints =
            scheme.isSymmetric
            ? nil : try parts.zeroPoints(rows: rows, groupCount: groupCount, bits: bits, isWhole: isWhole)
        try parts.checkGroupIndex(columns: columns, groupSize: groupSize)
    }

    func readCodes(rows rowRange: Range<Int>, columns columnRange: Range<Int>, into out: UnsafeMutablePointer<Int8>) {
        checkBounds(rows: rowRange, columns: columnRange)
        guard !columnRange.isEmpty, let base = packed.bytes.baseAddress else { return }
        var destination = out
        for row in rowRange {
            unpackCodes(base + row * packedRowByteCount, bits: bits, columnRange, into: destination)
            destination += columnRange.count
        }
    }

    func readScales(
        rows rowRange: Range<Int>, columns columnRange: Range<Int>, into out: UnsafeMutablePointer<Float>,
        zeroPoints zeroPointsOut: UnsafeMutablePointer<Float>?
    ) {
        checkBounds(rows: rowRange, columns: columnRange)
        let groups = groups(touching: columnRange)
        guard !groups.isEmpty, let base = scales.bytes.baseAddress else { return }
        let size = scales.type.byteCount
        var offset = 0
        for row in rowRange {
            let source = base + (row * scaleRowStride + groups.lowerBound) * size
            scaleFormat.read(source, groups.count, into: out + offset)
            if let zeroPointsOut {
                for (index, group) in groups.enumerated() {
                    zeroPointsOut[offset + index] = zeroPoint(row: row, group: group)
                }
            }
            offset += groups.count
        }
    }

    func readFloats(rows rowRange: Range<Int>, columns columnRange: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        checkBounds(rows: rowRange, columns: columnRange)
        let groups = groups(touching: columnRange)
        withUnsafeTemporaryAllocation(of: Int8.self, capacity: columnRange.count) { codes in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: groups.count) { scales in
                guard let codes = codes.baseAddress, let scales = scales.baseAddress else { return }
                var destination = out
                for row in rowRange {
                    readCodes(rows: row..<row + 1, columns: columnRange, into: codes)
                    readScales(rows: row..<row + 1, columns: columnRange, into: scales, zeroPoints: nil)
                    for group in groups {
                        let part = (group * groupSize..<(group + 1) * groupSize).clamped(to: columnRange)
                        let scale = scales[group - groups.lowerBound]
                        let zeroPoint = zeroPoint(row: row, group: group)
                        let first = part.lowerBound - columnRange.lowerBound
                        for index in first..<first + part.count {
                            destination[index] = scale * (Float(codes[index]) - zeroPoint)
                        }
                    }
                    destination += columnRange.count
                }
            }
        }
    }

    func release(rows: Range<Int>) {
        packed.release(rows: rows)
    }

    func checkUnchanged() throws(CheckpointError) {
        try packed.checkUnchanged()
        try scales.checkUnchanged()
        try zeroPoints?.checkUnchanged()
    }

    /// The zero point as a signed code.
    private func zeroPoint(row: Int, group: Int) -> Float {
        guard let zeroPoints else { return 0 }
        guard zeroPoints.type == .int32 else { return Float(zeroPoints.bytes.load(as: Int8.self)) }
        // The layout is [words, groups], so consecutive words of a group lie a row of groups apart.
        let perWord = 32 / bits
        let wordIndex = row / perWord * zeroPoints.shape[1] + group
        let word = zeroPoints.bytes.loadUnaligned(fromByteOffset: wordIndex * 4, as: UInt32.self)
        let field = word >> UInt32(row % perWord * bits) & (1 << UInt32(bits) - 1)
        return Float(Int(field) - 1 << (bits - 1))
    }
}

/// Unpacks the codes of `columns` from one packed row.
private func unpackCodes(
    _ row: UnsafeRawPointer, bits: Int, _ columns: Range<Int>, into out: UnsafeMutablePointer<Int8>
) {
    if bits == 8 {
        let source = row + columns.lowerBound
        for index in 0..<columns.count {
            out[index] = Int8(bitPattern: source.load(fromByteOffset: index, as: UInt8.self) ^ 0x80)
        }
        return
    }
    func code(_ column: Int) -> Int8 {
        let byte = row.load(fromByteOffset: column / 2, as: UInt8.self)
        return Int8(column.isMultiple(of: 2) ? byte & 15 : byte >> 4) - 8
    }
    var column = columns.lowerBound
    var destination = out
    if !column.isMultiple(of: 2) {
        destination.pointee = code(column)
        destination += 1
        column += 1
    }
    while column + 8 <= columns.upperBound {
        // Eight nibbles are spread to eight bytes. Xor 8 makes each a signed four-bit number, and the product copies
        // its sign bit into the upper half of its byte.
        var spread = UInt64(row.loadUnaligned(fromByteOffset: column / 2, as: UInt32.self))
        spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF
        spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF
        spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F
        spread ^= 0x0808_0808_0808_0808
        spread |= (spread & 0x0808_0808_0808_0808) &* 0x1E
        UnsafeMutableRawPointer(destination).storeBytes(of: spread, as: UInt64.self)
        destination += 8
        column += 8
    }
    while column < columns.upperBound {
        destination.pointee = code(column)
        destination += 1
        column += 1
    }
}

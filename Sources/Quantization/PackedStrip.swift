import Checkpoints
import Tensors

/// Some rows of a matrix in compressed-tensors' `pack-quantized` layout.
///
/// `weight_packed` holds code + 2^(bits-1), the first column in the lowest bits of little-endian words, each row padded
/// with zero bits to whole words. `weight_scale` is not packed. `weight_zero_point` is packed like the codes but along
/// the rows. `weight_shape` is part of the first strip.
struct PackedStrip {
    /// Rows of a strip: a multiple of the eight rows whose zero points share a word.
    static let rowCount = 64

    /// The bytes to append to each tensor, with the last part of the tensor's name.
    private(set) var parts: [(suffix: String, bytes: [UInt8])] = []

    private let source: QuantizingSource
    private let scaleType: ElementType
    private let bits: Int
    private let groupCount: Int
    private let isSymmetric: Bool
    private let isWhole: Bool
    private var codes: [Int8]
    private var scales: [Float]
    private var zeroPoints: [Float]

    init(source: QuantizingSource, scaleType: ElementType) {
        self.source = source
        self.scaleType = scaleType
        let scheme = source.scheme
        bits = scheme.bits
        isSymmetric = scheme.isSymmetric
        isWhole = scheme.granularity == .tensor
        groupCount = source.groupCount(scheme)
        let rows = min(Self.rowCount, source.rows)
        codes = [Int8](repeating: 0, count: rows * source.columns)
        scales = [Float](repeating: 1, count: rows * groupCount)
        zeroPoints = [Float](repeating: 0, count: rows * groupCount)
    }

    /// Encodes these rows into `parts`; every strip but the last must have `rowCount` rows.
    mutating func encode(_ rows: Range<Int>) {
        codes.withUnsafeMutableBufferPointer { codes in
            scales.withUnsafeMutableBufferPointer { scales in
                zeroPoints.withUnsafeMutableBufferPointer { zeroPoints in
                    guard let codes = codes.baseAddress, let scales = scales.baseAddress else { return }
                    source.readGroups(
                        rows: rows, columns: 0..<source.columns, codes: codes, scales: scales,
                        zeroPoints: zeroPoints.baseAddress)
                }
            }
        }
        parts = [("weight_packed", packedCodes(rowCount: rows.count))]
        let isFirst = rows.lowerBound == 0
        if isFirst {
            parts.append(("weight_shape", [source.rows, source.columns].flatMap { littleEndian(Int64($0)) }))
        }
        // A scale for the whole matrix is written once.
        guard !isWhole || isFirst else { return }
        let scaleCount = isWhole ? 1 : rows.count * groupCount
        parts.append(("weight_scale", scales[..<scaleCount].flatMap(storedScale)))
        guard !isSymmetric else { return }
        parts.append(
            (
                "weight_zero_point",
                isWhole ? littleEndian(Int8(zeroPoints[0])) : packedZeroPoints(rowCount: rows.count)
            ))
    }

    private func packedCodes(rowCount: Int) -> [UInt8] {
        let columns = source.columns
        let rowByteCount = (columns * bits + 31) / 32 * 4
        return [UInt8](unsafeUninitializedCapacity: rowCount * rowByteCount) { buffer, count in
            count = rowCount * rowByteCount
            guard let out = buffer.baseAddress else { return }
            out.initialize(repeating: 0, count: count)
            codes.withUnsafeBufferPointer { codes in
                guard let codes = codes.baseAddress else { return }
                for row in 0..<rowCount {
                    let from = codes + row * columns
                    let to = out + row * rowByteCount
                    if bits == 8 {
                        for column in 0..<columns { to[column] = UInt8(bitPattern: from[column]) ^ 0x80 }
                    } else {
                        for pair in 0..<columns / 2 {
                            let low = UInt8(bitPattern: from[pair * 2] &+ 8)
                            to[pair] = low | UInt8(bitPattern: from[pair * 2 + 1] &+ 8) << 4
                        }
                        if !columns.isMultiple(of: 2) {
                            to[columns / 2] = UInt8(bitPattern: from[columns - 1] &+ 8)
                        }
                    }
                }
            }
        }
    }

    /// The zero points as words [rows / codes per word, groups]: those of one group in neighbouring rows share a word.
    private func packedZeroPoints(rowCount: Int) -> [UInt8] {
        let perWord = 32 / bits
        var words = [UInt32](repeating: 0, count: (rowCount + perWord - 1) / perWord * groupCount)
        for row in 0..<rowCount {
            for group in 0..<groupCount {
                let field = UInt32(Int(zeroPoints[row * groupCount + group]) + 1 << (bits - 1))
                words[row / perWord * groupCount + group] |= field << UInt32(row % perWord * bits)
            }
        }
        return words.flatMap(littleEndian)
    }

    private func storedScale(_ scale: Float) -> [UInt8] {
        switch scaleType {
        case .float16: littleEndian(Float16(scale).bitPattern)
        case .bfloat16: littleEndian(BFloat16(scale).bitPattern)
        default: littleEndian(scale.bitPattern)
        }
    }
}

/// The bytes of an integer, the lowest first.
private func littleEndian<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

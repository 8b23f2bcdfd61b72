import Messages
import Tensors

/// A matrix stored as float32, float16 or bfloat16, one element after another.
struct FloatMatrix: MatrixSource {
    let name: String
    let rows: Int
    let columns: Int
    let encoding: MatrixEncoding

    private let tensor: StoredTensor
    private let format: FloatFormat

    /// Takes a tensor of two dimensions.
    ///
    /// - Throws: `malformedTensor` for another number of dimensions, `unsupported` for another element type.
    init(name: String, tensor: StoredTensor) throws(CheckpointError) {
        guard tensor.shape.count == 2 else {
            throw tensor.malformed("its shape is \(listed(tensor.shape)); a matrix has two dimensions")
        }
        self.name = name
        self.tensor = tensor
        format = try FloatFormat(of: tensor)
        rows = tensor.shape[0]
        columns = tensor.shape[1]
        encoding = .float(tensor.type)
    }

    func readFloats(rows rowRange: Range<Int>, columns columnRange: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        checkBounds(rows: rowRange, columns: columnRange)
        guard !columnRange.isEmpty, let base = tensor.bytes.baseAddress else { return }
        let size = tensor.type.byteCount
        var destination = out
        for row in rowRange {
            format.read(base + (row * columns + columnRange.lowerBound) * size, columnRange.count, into: destination)
            destination += columnRange.count
        }
    }

    func readCodes(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Int8>) {
        preconditionFailure("\(name) is stored as floats and has no codes")
    }

    func readScales(
        rows: Range<Int>, columns: Range<Int>, into scales: UnsafeMutablePointer<Float>,
        zeroPoints: UnsafeMutablePointer<Float>?
    ) {
        preconditionFailure("\(name) is stored as floats and has no scales")
    }

    func release(rows: Range<Int>) {
        tensor.release(rows: rows)
    }

    func checkUnchanged() throws(CheckpointError) {
        try tensor.checkUnchanged()
    }
}

/// The float types in which weights and scales are stored.
enum FloatFormat: Sendable {
    case float32
    case float16
    case bfloat16

    /// - Throws: `unsupported` for an element type that is not one of the three.
    init(of tensor: StoredTensor) throws(CheckpointError) {
        switch tensor.type {
        case .float32: self = .float32
        case .float16: self = .float16
        case .bfloat16: self = .bfloat16
        default:
            throw .unsupported(
                path: tensor.path,
                feature: "element type \(tensor.type.rawValue) of \(quoted(tensor.name)) (F32, F16 and BF16 are read)")
        }
    }

    /// Reads `count` elements from `source`, at any alignment.
    func read(_ source: UnsafeRawPointer, _ count: Int, into out: UnsafeMutablePointer<Float>) {
        switch self {
        case .float32:
            UnsafeMutableRawPointer(out).copyMemory(from: source, byteCount: count * 4)
        case .float16:
            for index in 0..<count {
                out[index] = float(halfBits: UInt32(source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)))
            }
        case .bfloat16:
            for index in 0..<count {
                // This is `Float(BFloat16)`; a call into another module would not be inlined and vectorised.
                let bits = UInt32(source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)) << 16
                out[index] = Float(bitPattern: bits)
            }
        }
    }
}

/// The value of an IEEE half, computed without branches, so that a loop over it vectorises on any processor.
///
/// Shifted to a float's place, the exponent is too small by 127 − 15 = 112, and by 112 more if it is 31 (infinity,
/// NaN). A subnormal m · 2^-24 is computed as 2^-14 · (1 + m / 2^10) − 2^-14, because operations on float subnormals
/// would take a hundred cycles.
@inline(__always)
private func float(halfBits: UInt32) -> Float {
    let exponent = halfBits & 0x7C00
    let shifted = (halfBits & 0x7FFF) << 13
    let normal = shifted &+ (exponent == 0x7C00 ? 224 << 23 : 112 << 23)
    let subnormal = Float(bitPattern: shifted &+ (113 << 23)) - 0x1p-14
    let magnitude = exponent == 0 ? subnormal.bitPattern : normal
    return Float(bitPattern: magnitude | (halfBits & 0x8000) << 16)
}

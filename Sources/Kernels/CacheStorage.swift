import CKernels
import Tensors

/// One layer's keys and values on this rank, in blocks of 64 positions (`ck_cache`).
public final class CacheStorage {
    private let keys: AlignedBuffer
    private let values: AlignedBuffer
    let description: ck_cache

    /// Positions in a block.
    public static let blockLength = Int(CK_CACHE_BLOCK)
    /// The longest head that the kernels take.
    public static let longestHead = Int(CK_MAX_HEAD)

    public init(blockCount: Int, headCount: Int, headDimension: Int, type: KeyValueType) throws(MemoryError) {
        let bytes = Self.byteCount(
            blockCount: blockCount, headCount: headCount, headDimension: headDimension, type: type)
        keys = try AlignedBuffer(byteCount: bytes.keys, hugePages: true)
        values = try AlignedBuffer(byteCount: bytes.values, hugePages: true)
        description = ck_cache(
            keys: keys.baseAddress, values: values.baseAddress, heads: Int64(headCount), head_dim: Int64(headDimension),
            value_stride: Int64((headDimension + 15) / 16 * 16), format: type.kernelFormat)
    }

    /// What a cache of this size takes; value rows are padded to 16 elements.
    public static func byteCount(
        blockCount: Int, headCount: Int, headDimension: Int, type: KeyValueType
    ) -> (keys: Int, values: Int) {
        let rows = blockCount * headCount * blockLength * type.byteCount
        return (rows * headDimension, rows * ((headDimension + 15) / 16 * 16))
    }

    /// Touches every page, so that memory that is not there fails at the start and not in the middle of a text.
    public func touch() {
        for buffer in [keys, values] {
            for offset in stride(from: 0, to: buffer.byteCount, by: 4096) {
                buffer.baseAddress.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self)
            }
        }
    }
}

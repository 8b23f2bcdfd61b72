import CKernels
import Tensors

/// One layer's keys and values on this rank, in blocks of 64 positions (`ck_cache`).
public final class CacheStorage {
    private let keys: AlignedBuffer
    private let values: AlignedBuffer
    private let scales: AlignedBuffer?
    let description: ck_cache
    /// The number of elements of a key.
    public let headDimension: Int
    /// The bytes of the keys and values of all heads at a position.
    public let bytesPerPosition: Int

    /// The number of positions in a block.
    public static let blockLength = Int(CK_CACHE_BLOCK)

    public init(blockCount: Int, headCount: Int, headDimension: Int, type: KeyValueType) throws(MemoryError) {
        precondition(headDimension <= KeyValueType.longestHead, "kernels have no room for the head")
        let rows = blockCount * headCount * Self.blockLength
        let bytes = type.byteCount(headDimension: headDimension)
        self.headDimension = headDimension
        bytesPerPosition = headCount * (bytes.key + bytes.value + bytes.scales)
        keys = try AlignedBuffer(byteCount: rows * bytes.key, hugePages: true)
        values = try AlignedBuffer(byteCount: rows * bytes.value, hugePages: true)
        scales = bytes.scales == 0 ? nil : try AlignedBuffer(byteCount: rows * bytes.scales)
        let keyScales = scales?.baseAddress.assumingMemoryBound(to: Float.self)
        description = ck_cache(
            keys: keys.baseAddress, values: values.baseAddress, key_scales: keyScales,
            value_scales: keyScales.map { $0 + rows }, heads: Int64(headCount), head_dim: Int64(headDimension),
            value_stride: Int64((headDimension + 15) / 16 * 16), format: type.kernelFormat)
    }

    /// Touches every page, so that missing memory fails at the start and not in the middle of a text.
    public func touch() {
        for buffer in [keys, values] + (scales.map { [$0] } ?? []) { buffer.touch() }
    }
}

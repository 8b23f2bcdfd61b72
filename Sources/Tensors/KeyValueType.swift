/// The type of the elements of a key-value cache.
public enum KeyValueType: String, CaseIterable, Sendable {
    case float32
    case float16
    case bfloat16

    /// Codes with a float32 scale for each position's key, and value, of a head.
    case int8
    /// E4M3: 4 bits of exponent, 3 of mantissa (Micikevicius et al., arXiv:2209.05433), without a scale.
    case fp8

    /// Features of the longest head whose keys and values can be kept (`CK_MAX_HEAD`).
    public static let longestHead = 512

    /// Bytes of one element.
    public var byteCount: Int {
        switch self {
        case .float32: 4
        case .float16, .bfloat16: 2
        case .int8, .fp8: 1
        }
    }

    /// Bytes of one head's key and value at one position: values are padded to 16 elements.
    public func byteCount(headDimension: Int) -> (key: Int, value: Int, scales: Int) {
        let padded = (headDimension + 15) / 16 * 16
        return (
            headDimension * byteCount, padded * byteCount, self == .int8 ? 2 * MemoryLayout<Float>.size : 0
        )
    }
}

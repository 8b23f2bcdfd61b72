/// The type of the elements of a key-value cache.
public enum KeyValueType: String, CaseIterable, Sendable {
    case float32
    case float16
    case bfloat16

    /// Bytes of one element.
    public var byteCount: Int { self == .float32 ? 4 : 2 }
}

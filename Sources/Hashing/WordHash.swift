/// A hash of bytes that are taken in words of eight.
///
/// Its step is like that of `FNV1a`, but folds in the upper half of the product. It compares builds and texts quickly, and does
/// not protect against somebody who makes them collide.
public struct WordHash: Sendable {
    /// The hash of what has been added so far.
    public private(set) var value = FNV1a().value

    /// Makes a hash of nothing.
    public init() {}

    /// The hash of a text and its length.
    public init(of text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    /// Adds bytes and their number, so that neighbouring pieces cannot run into one another.
    public mutating func add(_ bytes: UnsafeRawBufferPointer) {
        var offset = 0
        while offset + 8 <= bytes.count {
            add(bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        var rest: UInt64 = 0
        while offset < bytes.count {
            rest = rest << 8 | UInt64(bytes[offset])
            offset += 1
        }
        add(rest)
        add(UInt64(bytes.count))
    }

    /// Adds one word.
    public mutating func add(_ word: UInt64) {
        let product = (value ^ word).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        value = product.low ^ product.high
    }
}

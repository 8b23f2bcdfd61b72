/// The 64-bit FNV-1a hash by Fowler, Noll and Vo (http://www.isthe.com/chongo/tech/comp/fnv/).
///
/// Open to inlining, because other modules add a byte at a time in long loops.
@frozen public struct FNV1a: Sendable {
    @usableFromInline var state: UInt64 = 0xCBF2_9CE4_8422_2325

    /// Makes a hash of nothing.
    @inlinable public init() {}

    /// The hash of what has been added so far.
    @inlinable public var value: UInt64 { state }

    /// Adds a byte, as the hash is defined, or a whole word in one step.
    ///
    /// A word's step is quicker than those of its bytes, and gives another value.
    @inlinable public mutating func add(_ number: some FixedWidthInteger & UnsignedInteger) {
        state = (state ^ UInt64(truncatingIfNeeded: number)) &* 0x0000_0100_0000_01B3
    }

    /// Adds the bytes of a text in UTF-8.
    @inlinable public mutating func add(utf8 text: some StringProtocol) {
        for byte in text.utf8 { add(byte) }
    }

    /// Adds a text's bytes and their number, so that "ab" and "c" differ from "a" and "bc".
    @inlinable public mutating func add(delimited text: some StringProtocol) {
        add(utf8: text)
        add(UInt64(text.utf8.count))
    }
}

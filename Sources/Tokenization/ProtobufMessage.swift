/// Reads a message in the wire format of protocol buffers, one field after the other.
///
/// Source: https://protobuf.dev/programming-guides/encoding/.
struct ProtobufMessage {
    /// The value of a field.
    enum Value {
        /// A number of variable length, wire type 0.
        case number(UInt64)
        /// Eight bytes, wire type 1.
        case fixed64
        /// Text, bytes or a message inside, wire type 2, as a range of the file.
        case bytes(Range<Int>)
        /// Four bytes, wire type 5.
        case fixed32(UInt32)
    }

    /// Where the bytes stop being a message, and why.
    struct Problem: Error {
        let offset: Int
        let reason: String
    }

    private let bytes: [UInt8]
    private var position: Int
    private let end: Int

    /// Starts with the first field of the message in a range of a file.
    init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    /// The next field, or nil at the end of the message.
    mutating func next() throws(Problem) -> (number: Int, value: Value)? {
        guard position < end else { return nil }
        let start = position
        let key = try takeNumber()
        guard key >> 3 > 0, key >> 3 < 1 << 29 else { throw Problem(offset: start, reason: "a field without a number") }
        let number = Int(key >> 3)
        switch key & 7 {
        case 0:
            return (number, .number(try takeNumber()))
        case 1:
            _ = try take(8)
            return (number, .fixed64)
        case 2:
            let count = try takeNumber()
            guard count <= UInt64(end - position) else {
                throw Problem(offset: start, reason: "field \(number) is longer than the rest of its message")
            }
            return (number, .bytes(try take(Int(count))))
        case 5:
            let range = try take(4)
            return (number, .fixed32(bytes[range].reversed().reduce(0) { $0 << 8 | UInt32($1) }))
        default:
            throw Problem(offset: start, reason: "field \(number) is of an unknown kind")
        }
    }

    private mutating func take(_ count: Int) throws(Problem) -> Range<Int> {
        guard end - position >= count else { throw Problem(offset: position, reason: "the message ends in a field") }
        defer { position += count }
        return position..<position + count
    }

    private mutating func takeNumber() throws(Problem) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            let byte = bytes[try take(1).lowerBound]
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw Problem(offset: position, reason: "a number of more than ten bytes")
    }
}

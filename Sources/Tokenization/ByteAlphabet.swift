/// The alphabet of byte-level vocabularies: it gives each byte a visible character, so that a vocabulary can be text.
///
/// Printable bytes of Latin-1 are their own characters; the other bytes get U+0100 and the following ones, in order.
/// Source: the GPT-2 release, https://github.com/openai/gpt-2 (`bytes_to_unicode`).
enum ByteAlphabet {
    /// The character of each byte, in UTF-8.
    static let characters: [[UInt8]] = codes.map { code in
        Array((Unicode.Scalar(code) ?? "\u{FFFD}").utf8)
    }

    /// The byte that each character stands for, indexed by the character's code; nil for other characters.
    static let bytes: [UInt8?] = {
        var bytes = [UInt8?](repeating: nil, count: 0x100 + 0x100)
        for byte in 0...255 { bytes[Int(codes[byte])] = UInt8(byte) }
        return bytes
    }()

    private static let codes: [UInt32] = {
        var next: UInt32 = 0x100
        return (UInt32(0)...255).map { byte in
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return byte
            default:
                next += 1
                return next - 1
            }
        }
    }()

    /// The bytes that this spelling stands for; nil if it holds a character outside the alphabet.
    static func decode(_ text: [UInt8]) -> [UInt8]? {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(text.count)
        var offset = 0
        while offset < text.count {
            let code = Int(scalar(in: text, at: offset).value)
            guard code < bytes.count, let byte = bytes[code] else { return nil }
            decoded.append(byte)
            offset += utf8Length(startingWith: text[offset])
        }
        return decoded
    }

    /// Appends the spelling of some bytes of a text.
    static func spell(_ text: [UInt8], _ range: Range<Int>, into spelled: inout [UInt8]) {
        for index in range { spelled += characters[Int(text[index])] }
    }
}

// Functions for text that is kept as bytes.

/// The offset of the first byte that is not part of valid UTF-8; nil if all are.
func firstInvalidUTF8(in bytes: [UInt8]) -> Int? {
    do {
        _ = try UTF8Span(validating: bytes.span)
        return nil
    } catch {
        return error.byteOffsets.lowerBound
    }
}

/// The length in bytes of the character that starts with this byte, in valid UTF-8.
func utf8Length(startingWith byte: UInt8) -> Int {
    switch byte {
    case ..<0x80: 1
    case ..<0xE0: 2
    case ..<0xF0: 3
    default: 4
    }
}

/// The value of a hexadecimal digit in ASCII; nil for other bytes.
func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}

/// The scalar at an offset of valid UTF-8; the offset must be where a character starts.
func scalar(in text: [UInt8], at offset: Int) -> Unicode.Scalar {
    let length = utf8Length(startingWith: text[offset])
    var code = UInt32(text[offset])
    if length > 1 {
        code &= 0xFF >> UInt32(length + 1)
        for byte in text[offset + 1..<offset + length] { code = code << 6 | UInt32(byte & 0x3F) }
    }
    return Unicode.Scalar(code) ?? "\u{FFFD}"
}

/// The scalar that ends directly before an offset of valid UTF-8.
func scalar(in text: [UInt8], before offset: Int) -> Unicode.Scalar {
    var start = offset - 1
    while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
    return scalar(in: text, at: start)
}

/// Checks UTF-8 as its bytes arrive, and returns complete characters.
struct UTF8Assembler: Sendable {
    /// What a byte completes or breaks.
    enum Outcome {
        case incomplete
        case complete
        /// The bytes held before this one do not form a character. `also` says whether this byte is invalid too; if
        /// not, it is held as the start of the next character.
        case invalid(also: Bool)
    }

    /// U+FFFD in UTF-8, which replaces bytes that are not text.
    static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]

    /// The bytes of an incomplete character, or of the one that was just completed.
    private(set) var held: [UInt8] = []
    private var missing = 0
    /// The values that the next byte may have.
    ///
    /// The range is narrower for some second bytes, which excludes overlong forms, surrogates and codes above U+10FFFF.
    private var expected: ClosedRange<UInt8> = 0x80...0xBF

    /// Whether bytes of an incomplete character are held.
    var isInsideCharacter: Bool { missing > 0 }

    /// Forgets held bytes.
    mutating func reset() {
        held.removeAll(keepingCapacity: true)
        missing = 0
    }

    /// Takes the next byte.
    ///
    /// After `.complete`, `held` is the character.
    mutating func take(_ byte: UInt8) -> Outcome {
        if missing > 0 {
            guard expected.contains(byte) else {
                reset()
                if case .invalid = take(byte) { return .invalid(also: true) }
                return .invalid(also: false)
            }
            held.append(byte)
            missing -= 1
            expected = 0x80...0xBF
            return missing == 0 ? .complete : .incomplete
        }
        reset()
        expected = 0x80...0xBF
        switch byte {
        case 0x00...0x7F: missing = 0
        case 0xC2...0xDF: missing = 1
        case 0xE0...0xEF:
            missing = 2
            if byte == 0xE0 { expected = 0xA0...0xBF }
            if byte == 0xED { expected = 0x80...0x9F }
        case 0xF0...0xF4:
            missing = 3
            if byte == 0xF0 { expected = 0x90...0xBF }
            if byte == 0xF4 { expected = 0x80...0x8F }
        default: return .invalid(also: true)
        }
        held.append(byte)
        return missing == 0 ? .complete : .incomplete
    }

    /// Takes bytes and appends complete characters, and U+FFFD for each maximal part that is not a character.
    mutating func take(_ bytes: [UInt8], into text: inout [UInt8]) {
        for byte in bytes {
            let wasInside = isInsideCharacter
            switch take(byte) {
            case .incomplete: break
            case .complete: text += held
            case .invalid(let also):
                if wasInside { text += Self.replacement }
                if also {
                    text += Self.replacement
                } else if !isInsideCharacter {
                    text += held
                }
            }
        }
    }
}

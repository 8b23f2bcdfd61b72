import Foundation
import Synchronization

/// The four normalization forms of Unicode Standard Annex 15.
///
/// Foundation's own functions leave marks out of order where a decomposition yields several of them (Swift 6.3.1:
/// U+0F71 U+0F74 after U+1136A). So Foundation is used for single characters and pairs only, where it is right, and
/// ordering and composition are done here. Its answers are cached.
enum NormalizationForm: Sendable {
    case nfc
    case nfd
    case nfkc
    case nfkd

    private var isCompatible: Bool { self == .nfkc || self == .nfkd }
    private var composes: Bool { self == .nfc || self == .nfkc }

    /// Converts a text to this form.
    func normalize(_ text: [UInt8]) -> [UInt8] {
        // Every character below U+0300 is its own NFC, and every one below U+0080 is its own normal form in all four.
        let limit: UInt8 = self == .nfc ? 0xCC : 0x80
        if text.allSatisfy({ $0 < limit }) { return text }
        return Self.facts.withLock { facts in
            var normalized: [UInt8] = []
            normalized.reserveCapacity(text.count)
            var plainStart = 0
            while let first = text[plainStart...].firstIndex(where: { $0 >= limit }) {
                // Marks join with the character before them, and nothing joins with a plain character after it.
                var start = max(plainStart, first - 1)
                while start > plainStart, text[start] & 0xC0 == 0x80 { start -= 1 }
                let end = text[first...].firstIndex { $0 < limit && $0 & 0xC0 != 0x80 } ?? text.count
                normalized += text[plainStart..<start]
                append(text[start..<end], to: &normalized, &facts)
                plainStart = end
            }
            return normalized + text[plainStart...]
        }
    }

    private func append(_ text: ArraySlice<UInt8>, to normalized: inout [UInt8], _ facts: inout CharacterFacts) {
        var scalars: [Unicode.Scalar] = []
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            facts.decompose(scalar, isCompatible: isCompatible, into: &scalars)
        }
        Self.order(&scalars)
        if composes { facts.compose(&scalars) }
        for scalar in scalars { normalized.append(contentsOf: scalar.utf8) }
    }

    /// Sorts each run of marks by combining class, and keeps the order of marks of one class (D108, D109).
    private static func order(_ scalars: inout [Unicode.Scalar]) {
        var start = 0
        while start < scalars.count {
            guard combiningClass(scalars[start]) != 0 else {
                start += 1
                continue
            }
            var end = start + 1
            while end < scalars.count, combiningClass(scalars[end]) != 0 { end += 1 }
            if end - start > 1 {
                let sorted = scalars[start..<end].enumerated().sorted { left, right in
                    (combiningClass(left.element), left.offset) < (combiningClass(right.element), right.offset)
                }
                scalars.replaceSubrange(start..<end, with: sorted.map(\.element))
            }
            start = end
        }
    }

    private static let facts = Mutex(CharacterFacts())

    /// Whether a character is in Unicode 11, whose decompositions the reference has.
    ///
    /// The reference leaves later characters, such as U+32FF, as they are.
    static func isKnown(_ scalar: Unicode.Scalar) -> Bool { scalar.isOfUnicode(11) }
}

extension Unicode.Scalar {
    /// Whether the character was in this version of Unicode already.
    func isOfUnicode(_ major: Int) -> Bool { properties.age.map { ($0.major, $0.minor) <= (major, 0) } ?? false }
}

/// The canonical combining class; zero for all characters below U+0300.
private func combiningClass(_ scalar: Unicode.Scalar) -> UInt8 {
    scalar.value < 0x300 ? 0 : scalar.properties.canonicalCombiningClass.rawValue
}

/// A cache of the decompositions of characters and the compositions of pairs.
private struct CharacterFacts {
    private var canonical: [Unicode.Scalar: [Unicode.Scalar]] = [:]
    private var compatible: [Unicode.Scalar: [Unicode.Scalar]] = [:]
    private var composites: [UInt64: Unicode.Scalar?] = [:]

    mutating func decompose(_ scalar: Unicode.Scalar, isCompatible: Bool, into scalars: inout [Unicode.Scalar]) {
        if scalar.value < 0x80 {
            scalars.append(scalar)
        } else if let known = isCompatible ? compatible[scalar] : canonical[scalar] {
            scalars += known
        } else {
            let text = String(Character(scalar))
            if isCompatible {
                let parts = NormalizationForm.isKnown(scalar) ? text.decomposedStringWithCompatibilityMapping : text
                compatible[scalar] = Array(parts.unicodeScalars)
            } else {
                let parts = NormalizationForm.isKnown(scalar) ? text.decomposedStringWithCanonicalMapping : text
                canonical[scalar] = Array(parts.unicodeScalars)
            }
            scalars += (isCompatible ? compatible[scalar] : canonical[scalar]) ?? [scalar]
        }
    }

    /// Joins each mark with the starter before it where Unicode has one character for the two (D117).
    mutating func compose(_ scalars: inout [Unicode.Scalar]) {
        var count = 0
        var starter: Int?
        var lastClass: UInt8 = 0
        for index in scalars.indices {
            let scalar = scalars[index]
            let scalarClass = combiningClass(scalar)
            if let starter {
                let isAdjacent = starter == count - 1
                let isBlocked = !isAdjacent && lastClass >= scalarClass
                if !isBlocked, let composite = composite(scalars[starter], scalar) {
                    scalars[starter] = composite
                    continue
                }
            }
            scalars[count] = scalar
            if scalarClass == 0 { starter = count }
            lastClass = scalarClass
            count += 1
        }
        scalars.removeSubrange(count...)
    }

    private mutating func composite(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
        if let syllable = Self.syllable(first, second) { return syllable }
        // Only marks join with the character before them; Hangul is composed by arithmetic.
        guard second.value >= 0x300 else { return nil }
        switch second.properties.generalCategory {
        case .nonspacingMark, .spacingMark: break
        default: return nil
        }
        let key = UInt64(first.value) << 32 | UInt64(second.value)
        if let known = composites[key] { return known }
        // Piece by piece, because Foundation does not join U+0CCA with U+0CD5.
        var parts: [Unicode.Scalar] = []
        decompose(first, isCompatible: false, into: &parts)
        let joined = String(String.UnicodeScalarView(parts + [second]))
            .precomposedStringWithCanonicalMapping.unicodeScalars
        let composite = joined.count == 1 ? joined.first.flatMap { NormalizationForm.isKnown($0) ? $0 : nil } : nil
        composites.updateValue(composite, forKey: key)
        return composite
    }

    /// Composes Hangul: a consonant with a vowel, or a syllable with a final (section 3.12 of the standard).
    private static func syllable(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
        switch (first.value, second.value) {
        case (0x1100...0x1112, 0x1161...0x1175):
            return Unicode.Scalar(0xAC00 + ((first.value - 0x1100) * 21 + second.value - 0x1161) * 28)
        case (0xAC00...0xD7A3, 0x11A8...0x11C2) where (first.value - 0xAC00) % 28 == 0:
            return Unicode.Scalar(first.value + second.value - 0x11A7)
        default:
            return nil
        }
    }
}

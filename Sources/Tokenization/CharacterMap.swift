/// Sentencepiece's compiled table of replacements: character sequences, and what becomes of each.
///
/// The file holds the length of a trie in bytes (32 bits, low byte first), the trie, and the replacements, each with a
/// zero byte at its end. The trie is a double array of 32-bit units: from the unit at index i, byte b leads to the unit
/// at index i ^ offset ^ b if the low byte of that unit is b. Where a key ends, the unit at index i ^ offset holds the
/// place of the replacement.
///
/// Source: https://github.com/google/sentencepiece, `src/normalizer.cc` and `third_party/darts_clone/darts.h`.
struct CharacterMap: Sendable {
    /// Why a table cannot be used.
    struct Damage: Error {
        let reason: String
    }

    private let units: [UInt32]
    private let replacements: [UInt8]
    /// Whether some replaced sequence starts with each byte.
    private let startsKey: [Bool]

    /// Reads a table, and checks that every unit leads to others of the table and to replacements.
    init(_ bytes: [UInt8]) throws(Damage) {
        guard bytes.count > 4 else { throw Damage(reason: "it is too short for a table of replacements") }
        let word = { (offset: Int) in
            UInt32(bytes[offset]) | UInt32(bytes[offset + 1]) << 8 | UInt32(bytes[offset + 2]) << 16
                | UInt32(bytes[offset + 3]) << 24
        }
        let trieByteCount = Int(word(0))
        guard trieByteCount % 4 == 0, trieByteCount > 0, trieByteCount < bytes.count - 4 else {
            throw Damage(reason: "its trie of \(trieByteCount) bytes does not fit into its \(bytes.count) bytes")
        }
        let units = (0..<trieByteCount / 4).map { word(4 + 4 * $0) }
        let replacements = Array(bytes[(4 + trieByteCount)...])
        guard firstInvalidUTF8(in: replacements) == nil, replacements.last == 0 else {
            throw Damage(reason: "its replacements are not texts in UTF-8 with a zero byte at the end of each")
        }
        for (index, unit) in units.enumerated() {
            if unit & Self.valueFlag != 0 {
                let place = Int(unit & ~Self.valueFlag)
                guard place < replacements.count, replacements[place] & 0xC0 != 0x80 else {
                    throw Damage(reason: "unit \(index) of its trie names no replacement")
                }
            } else {
                guard (index ^ Self.offset(unit)) | 0xFF < units.count else {
                    throw Damage(reason: "unit \(index) of its trie leads out of the trie")
                }
            }
        }
        guard units[0] & Self.valueFlag == 0 else { throw Damage(reason: "its trie has no root") }
        self.units = units
        self.replacements = replacements
        let root = Self.offset(units[0])
        startsKey = (0...255).map { units[root ^ $0] & Self.labelMask == UInt32($0) }
    }

    private static let valueFlag: UInt32 = 1 << 31
    /// A unit that holds a value has the flag set, so that it is no byte's unit.
    private static let labelMask: UInt32 = valueFlag | 0xFF

    private static func offset(_ unit: UInt32) -> Int {
        Int((unit >> 10) << ((unit & 1 << 9) >> 6))
    }

    /// Calls `body` with the end of each replaced sequence that the bytes of `text` in `range` start with, shortest
    /// first, and with the place of its replacement.
    ///
    /// Sequences that end inside a character are left out, because damaged tables may have some.
    private func forEachPrefix(of text: [UInt8], _ range: Range<Int>, _ body: (_ end: Int, _ place: Int) -> Void) {
        var index = Self.offset(units[0])
        for position in range {
            index ^= Int(text[position])
            let unit = units[index]
            guard unit & Self.labelMask == UInt32(text[position]) else { return }
            index ^= Self.offset(unit)
            guard unit & 1 << 8 != 0, units[index] & Self.valueFlag != 0 else { continue }
            let end = position + 1
            if end == text.count || text[end] & 0xC0 != 0x80 {
                body(end, Int(units[index] & ~Self.valueFlag))
            }
        }
    }

    /// The longest replaced sequence that a text starts with at `start`, and the place of its replacement.
    func longest(in text: [UInt8], from start: Int) -> (end: Int, place: Int)? {
        guard startsKey[Int(text[start])] else { return nil }
        var longest: (end: Int, place: Int)?
        forEachPrefix(of: text, start..<text.count) { longest = ($0, $1) }
        return longest
    }

    /// The place of the replacement of the shortest replaced sequence that a range of a text starts with.
    func shortest(in text: [UInt8], _ range: Range<Int>) -> Int? {
        guard startsKey[Int(text[range.lowerBound])] else { return nil }
        var shortest: Int?
        forEachPrefix(of: text, range) { if shortest == nil { shortest = $1 } }
        return shortest
    }

    /// The bytes of a replacement.
    func replacement(at place: Int) -> ArraySlice<UInt8> {
        replacements[place...].prefix { $0 != 0 }
    }
}

/// The normalizer `Precompiled` of a `tokenizer.json` file, which applies such a table in its own way.
///
/// The `tokenizers` library goes through the text by extended grapheme clusters. If a cluster of fewer than six bytes
/// starts with a replaced sequence, the whole cluster becomes the replacement of the shortest one; else its characters
/// are looked up one by one.
///
/// Source: `tokenizers/src/normalizers/precompiled.rs` and the crate `spm_precompiled`.
struct PrecompiledNormalizer: Sendable {
    private static let longestWholeCluster = 5

    let map: CharacterMap

    /// Applies the table to a text.
    func normalize(_ text: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(text.count)
        var offset = 0
        while offset < text.count {
            let end = endOfCluster(in: text, from: offset)
            if end - offset <= Self.longestWholeCluster, let place = map.shortest(in: text, offset..<end) {
                output += map.replacement(at: place)
                offset = end
                continue
            }
            while offset < end {
                let next = offset + utf8Length(startingWith: text[offset])
                if let place = map.shortest(in: text, offset..<next) {
                    output += map.replacement(at: place)
                } else {
                    output += text[offset..<next]
                }
                offset = next
            }
        }
        return output
    }

    private func endOfCluster(in text: [UInt8], from start: Int) -> Int {
        // Two characters of ASCII are two clusters, except CR LF.
        if text[start] < 0x80, start + 1 == text.count || text[start + 1] < 0x80 {
            let isLineEnd = text[start] == 0x0D && start + 1 < text.count && text[start + 1] == 0x0A
            return start + (isLineEnd ? 2 : 1)
        }
        return start + firstClusterByteCount(text[start...])
    }

    /// The length of the cluster that a text starts with.
    private func firstClusterByteCount(_ text: ArraySlice<UInt8>) -> Int {
        // A cluster may be of any length; doubling the part that is looked at keeps the work linear.
        var limit = 64
        while true {
            var part = text.prefix(limit)
            if part.count < text.count {
                while let last = part.last, last & 0xC0 == 0x80 { part.removeLast() }
                part.removeLast()
            }
            let cluster = String(decoding: part, as: UTF8.self).first?.utf8.count ?? 0
            if cluster < part.count || part.count == text.count { return max(1, cluster) }
            limit *= 2
        }
    }
}

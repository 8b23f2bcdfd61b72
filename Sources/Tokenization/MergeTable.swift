import Messages

/// A map from pairs of tokens to the token that they become when they stand next to each other, and the rule's rank.
struct MergeTable: Sendable {
    /// What a rule makes, and its rank: the rule of the lowest rank is applied first.
    struct Merge: Equatable {
        let rank: UInt32
        let result: Int32
    }

    /// A pair and its rule side by side, so that a lookup touches one line of the cache.
    private struct Slot {
        var key: UInt64
        var merge: Merge
    }

    private static let free = UInt64.max
    private var slots: [Slot]
    private var count = 0

    /// Reserves room for about this many rules.
    init(minimumCapacity: Int) {
        var slotCount = 16
        while slotCount < 2 * minimumCapacity { slotCount *= 2 }
        slots = [Slot](
            repeating: Slot(key: Self.free, merge: Merge(rank: 0, result: 0)), count: slotCount)
    }

    /// The rule for two neighbours; nil if there is none.
    ///
    /// Reading and setting take one probe or a few.
    subscript(left: Int32, right: Int32) -> Merge? {
        get {
            let slot = slots[place(of: Self.key(left, right))]
            return slot.key == Self.free ? nil : slot.merge
        }
        set {
            guard let newValue else { return }
            if 2 * (count + 1) > slots.count { grow() }
            let key = Self.key(left, right)
            let place = place(of: key)
            if slots[place].key == Self.free { count += 1 }
            slots[place] = Slot(key: key, merge: newValue)
        }
    }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    private func place(of key: UInt64) -> Int {
        let mixed = (key ^ key >> 29) &* 0x9E37_79B9_7F4A_7C15
        var place = Int(truncatingIfNeeded: mixed >> 32) & (slots.count - 1)
        while slots[place].key != Self.free, slots[place].key != key { place = (place + 1) & (slots.count - 1) }
        return place
    }

    private mutating func grow() {
        var larger = MergeTable(minimumCapacity: slots.count)
        for slot in slots where slot.key != Self.free { larger.slots[larger.place(of: slot.key)] = slot }
        larger.count = count
        self = larger
    }
}

/// The rules of a model as its file gives them: listed by rank, or implied by the tokens' own ranks.
struct MergeRules {
    private(set) var table: MergeTable
    /// Where a text of this model may be cut without an effect on its tokens.
    private(set) var wordCut = WordCut()

    /// Reserves room for about this many rules.
    init(minimumCapacity: Int) {
        table = MergeTable(minimumCapacity: minimumCapacity)
    }

    /// Adds the rule of a rank; the right token loses a prefix of `prefixCount` bytes when the two are joined.
    mutating func add(
        _ left: [UInt8], _ right: [UInt8], rank: Int, _ vocabulary: Vocabulary, prefixCount: Int
    ) throws(Vocabulary.Conflict) {
        guard let leftID = vocabulary.id(of: left), let rightID = vocabulary.id(of: right) else {
            let pair = "\(quoted(left)) and \(quoted(right))"
            throw Vocabulary.Conflict(reason: "rule \(rank) joins \(pair), which are not both in the vocabulary")
        }
        let joined = left + right.dropFirst(prefixCount)
        guard let result = vocabulary.id(of: joined) else {
            throw Vocabulary.Conflict(reason: "rule \(rank) makes \(quoted(joined[...])), not in the vocabulary")
        }
        table[leftID, rightID] = MergeTable.Merge(rank: UInt32(rank), result: result)
        wordCut.exclude(joined)
    }

    /// Adds a rule for every way to cut a token in two others, all with the token's rank.
    ///
    /// Neighbours are then joined whenever together they spell a token, which is how sentencepiece and tiktoken work.
    ///
    /// - Returns: whether there was a way.
    @discardableResult
    mutating func addAll(making token: Int32, spelled spelling: [UInt8], rank: Int, _ symbols: ByteTable) -> Bool {
        var found = false
        symbols.forEachPrefix(of: spelling, 0..<spelling.count) { end, left in
            guard end < spelling.count, let right = symbols.value(of: spelling, end..<spelling.count) else { return }
            table[left, right] = MergeTable.Merge(rank: UInt32(rank), result: token)
            found = true
        }
        if found { wordCut.exclude(spelling) }
        return found
    }
}

/// Places where no rule joins what stands on either side: before or after the character "▁", beside any other.
///
/// Most models of sentencepiece have no token with a space inside, so that their texts can be encoded word by word, and
/// a cache of words serves them.
struct WordCut: Sendable {
    /// The character that sentencepiece writes for a space, U+2581.
    static let space: [UInt8] = [0xE2, 0x96, 0x81]

    /// Whether a text may be cut between another character and the "▁" after it.
    private(set) var isBeforeSpace = true
    /// Whether a text may be cut between "▁" and another character after it.
    private(set) var isAfterSpace = true

    /// Learns that some rule makes this token.
    mutating func exclude(_ spelling: [UInt8]) {
        var offset = 0
        while offset + Self.space.count <= spelling.count {
            guard Self.isSpace(spelling, at: offset) else {
                offset += 1
                continue
            }
            let end = offset + Self.space.count
            if offset > 0, !(offset >= Self.space.count && Self.isSpace(spelling, at: offset - Self.space.count)) {
                isBeforeSpace = false
            }
            if end < spelling.count, !Self.isSpace(spelling, at: end) { isAfterSpace = false }
            offset = end
        }
    }

    /// The end of the word that starts a range of a text.
    func endOfWord(in text: [UInt8], _ range: Range<Int>) -> Int {
        guard isBeforeSpace || isAfterSpace else { return range.upperBound }
        var offset = range.lowerBound
        var wasSpace: Bool?
        while offset < range.upperBound {
            let isSpace = text[offset] == Self.space[0] && Self.isSpace(text, at: offset)
            if let wasSpace, isSpace != wasSpace, isSpace ? isBeforeSpace : isAfterSpace { return offset }
            wasSpace = isSpace
            offset += isSpace ? Self.space.count : utf8Length(startingWith: text[offset])
        }
        return range.upperBound
    }

    private static func isSpace(_ text: [UInt8], at offset: Int) -> Bool {
        offset + 3 <= text.count && text[offset] == space[0] && text[offset + 1] == space[1]
            && text[offset + 2] == space[2]
    }
}

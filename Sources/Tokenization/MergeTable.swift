/// A map from pairs of tokens to the token that they become when they stand next to each other, and the rule's rank.
struct MergeTable: Sendable {
    /// What a rule makes, and its rank: the rule of the lowest rank is applied first.
    struct Merge: Equatable {
        let rank: UInt32
        let result: Int32
    }

    private static let free = UInt64.max
    private var keys: [UInt64]
    private var merges: [Merge]
    private var count = 0

    /// Reserves room for about this many rules.
    init(minimumCapacity: Int) {
        var slotCount = 16
        while slotCount < 2 * minimumCapacity { slotCount *= 2 }
        keys = [UInt64](repeating: Self.free, count: slotCount)
        merges = [Merge](repeating: Merge(rank: 0, result: 0), count: slotCount)
    }

    /// The rule for two neighbours; nil if there is none.
    ///
    /// Reading and setting take one probe or a few.
    subscript(left: Int32, right: Int32) -> Merge? {
        get {
            let place = place(of: Self.key(left, right))
            return keys[place] == Self.free ? nil : merges[place]
        }
        set {
            guard let newValue else { return }
            if 2 * (count + 1) > keys.count { grow() }
            let key = Self.key(left, right)
            let place = place(of: key)
            if keys[place] == Self.free { count += 1 }
            keys[place] = key
            merges[place] = newValue
        }
    }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    private func place(of key: UInt64) -> Int {
        let mixed = (key ^ key >> 29) &* 0x9E37_79B9_7F4A_7C15
        var place = Int(truncatingIfNeeded: mixed >> 32) & (keys.count - 1)
        while keys[place] != Self.free, keys[place] != key { place = (place + 1) & (keys.count - 1) }
        return place
    }

    private mutating func grow() {
        var larger = MergeTable(minimumCapacity: keys.count)
        for index in keys.indices where keys[index] != Self.free {
            let place = larger.place(of: keys[index])
            larger.keys[place] = keys[index]
            larger.merges[place] = merges[index]
        }
        larger.count = count
        self = larger
    }
}

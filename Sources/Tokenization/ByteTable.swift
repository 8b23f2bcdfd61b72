import Hashing

/// A map from byte strings to numbers, for vocabularies and caches.
///
/// A `Dictionary<String, _>` would take canonically equivalent strings for equal, and one with keys of type `[UInt8]`
/// would need an array for each lookup. A lookup here takes a range of a text.
struct ByteTable: Sendable {
    private(set) var count = 0
    /// The index of an entry plus one, or zero for a free slot.
    ///
    /// The number of slots is a power of two, and at most half of them are taken.
    private var slots: [UInt32]
    private var bytes: [UInt8] = []
    private var ends: [Int] = [0]
    private var values: [Int32] = []

    /// Reserves room for about this many entries.
    init(minimumCapacity: Int = 0) {
        var slotCount = 16
        while slotCount < 2 * minimumCapacity { slotCount *= 2 }
        slots = [UInt32](repeating: 0, count: slotCount)
    }

    /// The value stored under the bytes of `text` in `range`.
    func value(of text: [UInt8], _ range: Range<Int>) -> Int32? {
        let slot = slots[place(of: text, range, Self.hash(text, range))]
        return slot == 0 ? nil : values[Int(slot) - 1]
    }

    /// The value stored under all of `key`.
    func value(of key: [UInt8]) -> Int32? {
        value(of: key, 0..<key.count)
    }

    /// Calls `body` with the end and the value of each key that the bytes of `text` in `range` start with.
    ///
    /// The work grows with the length of the range, not with its square.
    func forEachPrefix(of text: [UInt8], _ range: Range<Int>, _ body: (_ end: Int, _ value: Int32) -> Void) {
        var hash = FNV1a()
        for end in range {
            hash.add(text[end])
            let slot = slots[place(of: text, range.lowerBound..<end + 1, Self.mixed(hash))]
            if slot != 0 { body(end + 1, values[Int(slot) - 1]) }
        }
    }

    /// The index of the entry with this key; entries are counted in the order in which they were inserted.
    func entry(of key: [UInt8]) -> Int? {
        let slot = slots[place(of: key, 0..<key.count, Self.hash(key, 0..<key.count))]
        return slot == 0 ? nil : Int(slot) - 1
    }

    /// The key of an entry.
    func key(ofEntry entry: Int) -> ArraySlice<UInt8> {
        bytes[ends[entry]..<ends[entry + 1]]
    }

    /// Stores a value; if the key exists already, returns false and changes nothing.
    mutating func insert(_ value: Int32, for text: [UInt8], _ range: Range<Int>) -> Bool {
        if 2 * (count + 1) > slots.count { grow() }
        let place = place(of: text, range, Self.hash(text, range))
        guard slots[place] == 0 else { return false }
        bytes.append(contentsOf: text[range])
        ends.append(bytes.count)
        values.append(value)
        count += 1
        slots[place] = UInt32(count)
        return true
    }

    /// Stores a value under all of `key`, in the place of one that is there already.
    mutating func set(_ value: Int32, for key: [UInt8]) {
        if let entry = entry(of: key) {
            values[entry] = value
        } else {
            _ = insert(value, for: key, 0..<key.count)
        }
    }

    /// Removes all entries and keeps the memory.
    mutating func removeAll() {
        for index in slots.indices { slots[index] = 0 }
        bytes.removeAll(keepingCapacity: true)
        ends.removeSubrange(1...)
        values.removeAll(keepingCapacity: true)
        count = 0
    }

    /// The slot of the key with this hash, or the free slot where it belongs.
    private func place(of text: [UInt8], _ range: Range<Int>, _ hash: Int) -> Int {
        var place = hash & (slots.count - 1)
        while slots[place] != 0, !entry(Int(slots[place]) - 1, equals: text, range) {
            place = (place + 1) & (slots.count - 1)
        }
        return place
    }

    private func entry(_ index: Int, equals text: [UInt8], _ range: Range<Int>) -> Bool {
        let start = ends[index]
        guard ends[index + 1] - start == range.count else { return false }
        for offset in 0..<range.count where bytes[start + offset] != text[range.lowerBound + offset] { return false }
        return true
    }

    private mutating func grow() {
        slots = [UInt32](repeating: 0, count: 2 * slots.count)
        for index in 0..<count {
            let range = ends[index]..<ends[index + 1]
            slots[place(of: bytes, range, Self.hash(bytes, range))] = UInt32(index + 1)
        }
    }

    private static func hash(_ text: [UInt8], _ range: Range<Int>) -> Int {
        var hash = FNV1a()
        for index in range { hash.add(text[index]) }
        return mixed(hash)
    }

    // One multiplication after FNV-1a, so that the low bits depend on every byte.
    private static func mixed(_ hash: FNV1a) -> Int {
        Int(truncatingIfNeeded: (hash.value &* 0x9E37_79B9_7F4A_7C15) >> 32)
    }
}

/// The tokens of pieces that were encoded before.
struct PieceCache {
    /// Longer pieces hardly ever occur twice; remembering them would only fill the memory.
    private static let longestRemembered = 48
    /// When this many pieces are remembered, all are forgotten: that is simple, and rare enough to cost nothing.
    private static let capacity = 1 << 15

    private var table = ByteTable(minimumCapacity: 1 << 10)
    private var ends = [0]
    private var remembered: [TokenID] = []

    /// Appends the tokens of a piece if it was seen before; else returns false.
    func recall(_ text: [UInt8], _ range: Range<Int>, into tokens: inout [TokenID]) -> Bool {
        guard range.count <= Self.longestRemembered, let entry = table.value(of: text, range) else { return false }
        for index in ends[Int(entry)]..<ends[Int(entry) + 1] { tokens.append(remembered[index]) }
        return true
    }

    /// Keeps the tokens of a piece for the next time.
    mutating func remember(_ text: [UInt8], _ range: Range<Int>, _ tokens: ArraySlice<TokenID>) {
        guard range.count <= Self.longestRemembered else { return }
        if table.count >= Self.capacity {
            table.removeAll()
            ends.removeSubrange(1...)
            remembered.removeAll(keepingCapacity: true)
        }
        guard table.insert(Int32(table.count), for: text, range) else { return }
        remembered += tokens
        ends.append(remembered.count)
    }
}

/// The state of byte-pair encoding: a piece's symbols as a linked list, and a heap of possible merges.
struct BytePairMerger {
    private var symbols: [Int32] = []
    private var previous: [Int32] = []
    private var next: [Int32] = []
    /// A binary heap of rank << 32 | position of the left symbol: lowest rank first, then leftmost.
    private var heap: [UInt64] = []

    /// Forgets the symbols of the last piece.
    mutating func clear() {
        symbols.removeAll(keepingCapacity: true)
    }

    /// Appends a symbol of the piece.
    mutating func append(_ symbol: Int32) {
        symbols.append(symbol)
    }

    /// Merges the symbols by rank and appends what is left to `tokens`.
    mutating func merge(by merges: MergeTable, into tokens: inout [TokenID]) {
        let count = symbols.count
        heap.removeAll(keepingCapacity: true)
        for position in 0..<max(0, count - 1) { offer(position, position + 1, merges) }
        guard !heap.isEmpty else {
            for symbol in symbols { tokens.append(TokenID(symbol)) }
            return
        }
        for position in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(position) }
        previous.removeAll(keepingCapacity: true)
        next.removeAll(keepingCapacity: true)
        for position in 0..<count {
            previous.append(Int32(position) - 1)
            next.append(position + 1 < count ? Int32(position) + 1 : -1)
        }
        while let entry = popFirst() {
            let left = Int(entry & 0xFFFF_FFFF)
            // A symbol that was merged away is -1, for which there is no rule; other stale entries have another rank.
            guard next[left] >= 0, let merge = merges[symbols[left], symbols[Int(next[left])]],
                UInt64(merge.rank) == entry >> 32
            else { continue }
            let right = Int(next[left])
            symbols[left] = merge.result
            symbols[right] = -1
            next[left] = next[right]
            next[right] = -1
            if next[left] >= 0 {
                previous[Int(next[left])] = Int32(left)
                if offer(left, Int(next[left]), merges) { rise(heap.count - 1) }
            }
            if previous[left] >= 0, offer(Int(previous[left]), left, merges) { rise(heap.count - 1) }
        }
        var position = 0
        while position >= 0 {
            tokens.append(TokenID(symbols[position]))
            position = Int(next[position])
        }
    }

    @discardableResult
    private mutating func offer(_ left: Int, _ right: Int, _ merges: MergeTable) -> Bool {
        guard let merge = merges[symbols[left], symbols[right]] else { return false }
        heap.append(UInt64(merge.rank) << 32 | UInt64(left))
        return true
    }

    private mutating func popFirst() -> UInt64? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            sink(0)
        }
        return first
    }

    private mutating func rise(_ start: Int) {
        var position = start
        while position > 0, heap[position] < heap[(position - 1) / 2] {
            heap.swapAt(position, (position - 1) / 2)
            position = (position - 1) / 2
        }
    }

    private mutating func sink(_ start: Int) {
        var position = start
        while 2 * position + 1 < heap.count {
            var child = 2 * position + 1
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            if heap[position] <= heap[child] { return }
            heap.swapAt(position, child)
            position = child
        }
    }
}

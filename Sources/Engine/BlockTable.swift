/// The assignment of key-value cache blocks to sequences.
///
/// Every rank keeps its own copy and applies the same messages in the same order, so all copies are equal.
public struct BlockTable {
    /// Positions per block.
    public let blockLength: Int
    private var free: [Int32]
    private var counts: [Int]
    /// The block lists of all sequences at fixed offsets, because the attention kernel reads them by address.
    private let lists: UnsafeMutablePointer<Int32>
    private let listCapacity: Int
    private let owner: BlockLists

    public init(blockCount: Int, blockLength: Int, sequenceCount: Int, sequenceLength: Int) {
        self.blockLength = blockLength
        // Blocks are taken from the end, so the lowest numbers come first.
        free = (0..<Int32(blockCount)).reversed()
        counts = Array(repeating: 0, count: sequenceCount)
        listCapacity = cacheBlockCount(forLength: sequenceLength, blockLength: blockLength)
        owner = BlockLists(count: sequenceCount * listCapacity)
        lists = owner.elements
    }

    /// The number of blocks that no sequence has.
    public var freeCount: Int { free.count }

    /// Extends a sequence's blocks to hold `length` positions in total; returns false if there are not enough.
    public mutating func extend(_ sequence: SequenceID, toLength length: Int) -> Bool {
        let wanted = cacheBlockCount(forLength: length, blockLength: blockLength)
        guard wanted <= listCapacity, wanted - counts[sequence.slot] <= free.count else { return false }
        while counts[sequence.slot] < wanted {
            guard let block = free.popLast() else { return false }
            lists[sequence.slot * listCapacity + counts[sequence.slot]] = block
            counts[sequence.slot] += 1
        }
        return true
    }

    /// Frees all blocks of a sequence.
    public mutating func release(_ sequence: SequenceID) {
        for index in (0..<counts[sequence.slot]).reversed() { free.append(lists[sequence.slot * listCapacity + index]) }
        counts[sequence.slot] = 0
    }

    /// The sequence's blocks, indexed by position / block length.
    public func blocks(of sequence: SequenceID) -> UnsafePointer<Int32> {
        UnsafePointer(lists + sequence.slot * listCapacity)
    }
}

private final class BlockLists {
    let elements: UnsafeMutablePointer<Int32>

    init(count: Int) {
        elements = .allocate(capacity: max(1, count))
        elements.initialize(repeating: 0, count: max(1, count))
    }

    deinit {
        elements.deallocate()
    }
}

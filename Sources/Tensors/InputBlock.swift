/// Consecutive columns of an integer matrix whose inputs share a scale.
///
/// A block belongs to one weight group and one slice of the sum, and has 128 columns at most. Its dot product is an exact
/// whole number (at most 128 · 127 · 255 < 2²⁴), so that the order of its terms does not matter.
public struct InputBlock: Equatable, Sendable {
    /// The most columns of a block (`CK_MAX_BLOCK`).
    public static let longest = 128

    /// Columns of the shard.
    public let columns: Range<Int>
    /// The weight's group, counted from the first that the shard touches.
    public let group: Int
    /// Whether the group, or its part in the slice, begins here.
    public let isFirst: Bool
    /// Whether the group, or its part in the slice, ends here.
    public let isLast: Bool
}

extension WeightGroups {
    /// The blocks of the inputs of a shard of a matrix, in order.
    ///
    /// A block ends where a slice ends, where a group ends, and after every 128 columns of a group. Groups are counted
    /// from the matrix's own first column, so that a shard that consists of whole slices has the blocks of the whole
    /// matrix.
    ///
    /// - Parameters:
    ///   - sliceEnds: the ends of the slices, counted from the shard's first column.
    ///   - offset: the shard's first column in the matrix.
    public func inputBlocks(sliceEnds: [Int], offset: Int) -> [InputBlock] {
        var blocks: [InputBlock] = []
        var begin = 0
        for sliceEnd in sliceEnds {
            var isFirst = true
            while begin < sliceEnd {
                let place = (begin + offset) % size
                let groupEnd = min(begin + size - place, sliceEnd)
                let end = min(begin + InputBlock.longest - place % InputBlock.longest, groupEnd)
                blocks.append(
                    InputBlock(
                        columns: begin..<end, group: (begin + offset) / size - offset / size, isFirst: isFirst,
                        isLast: end == groupEnd))
                isFirst = end == groupEnd
                begin = end
            }
        }
        return blocks
    }

    /// The number of `inputBlocks`.
    public func inputBlockCount(sliceEnds: [Int], offset: Int) -> Int {
        let perGroup = (size + InputBlock.longest - 1) / InputBlock.longest
        /// The number of blocks of the matrix before the one with the shard's column, if no slice cut a block.
        func index(_ column: Int) -> Int {
            let place = column + offset
            return place / size * perGroup + place % size / InputBlock.longest
        }
        var begin = 0
        return sliceEnds.reduce(0) { count, end in
            defer { begin = end }
            return end > begin ? count + index(end - 1) - index(begin) + 1 : count
        }
    }
}

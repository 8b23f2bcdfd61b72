import Tensors
import TestSupport
import Testing

@Suite struct InputBlockTests {
    /// Slices of a published model's 11,008 columns, which cut groups, and short and empty ones.
    static let cuts = [
        [1376, 2752, 4128, 5504, 6880, 8256, 9632, 11008], [64, 128, 192, 256], [40], [0], [32, 96, 96, 171],
        [192, 384, 576, 744], [12, 20, 148, 161], [128, 128, 384, 400],
    ]
    static let groupSizes = [4, 20, 32, 64, 72, 128, 100, 200, 256, 1 << 20]

    /// A column and the next one have the same block if and only if no slice, no group and no 128 columns of a group end
    /// between them.
    @Test func blocksEndWhereTheyMust() {
        var faults: [String] = []
        for size in Self.groupSizes {
            for ends in Self.cuts {
                for offset in [0, 4, 32, 96, 1376] {
                    let blocks = WeightGroups(size: size).inputBlocks(sliceEnds: ends, offset: offset)
                    let columns = ends[ends.count - 1]
                    var expected: [Range<Int>] = []
                    var begin = 0
                    for column in 0..<columns {
                        let next = (column + 1 + offset) % size
                        guard ends.contains(column + 1) || next == 0 || next % 128 == 0 else { continue }
                        expected.append(begin..<column + 1)
                        begin = column + 1
                    }
                    let name = "groups of \(size), slices \(ends), offset \(offset)"
                    if blocks.map(\.columns) != expected { faults.append("\(name): \(blocks.map(\.columns))") }
                    let count = WeightGroups(size: size).inputBlockCount(sliceEnds: ends, offset: offset)
                    if count != blocks.count { faults.append("\(name): count \(count)") }
                    for block in blocks {
                        let (first, end) = (block.columns.lowerBound, block.columns.upperBound)
                        if block.group != (first + offset) / size - offset / size { faults.append("\(name): group") }
                        let isFirst = (first + offset) % size == 0 || first == 0 || ends.contains(first)
                        let isLast = (end + offset) % size == 0 || ends.contains(end)
                        if block.isFirst != isFirst || block.isLast != isLast { faults.append("\(name): \(block)") }
                    }
                }
            }
        }
        #expect(faults.isEmpty, "\(faults.count), first \(faults.prefix(3))")
    }

    /// Shards of whole slices have the blocks of the whole matrix, so that every degree gives the same bits.
    @Test func blocksOfShardsAreThoseOfTheWhole() {
        for size in Self.groupSizes {
            for ends in Self.cuts where ends.count == 8 {
                let groups = WeightGroups(size: size)
                let whole = groups.inputBlocks(sliceEnds: ends, offset: 0).map(\.columns)
                for perShard in [1, 2, 4] {
                    var together: [Range<Int>] = []
                    for first in stride(from: 0, to: 8, by: perShard) {
                        let offset = first == 0 ? 0 : ends[first - 1]
                        let own = ends[first..<first + perShard].map { $0 - offset }
                        together += groups.inputBlocks(sliceEnds: own, offset: offset).map {
                            $0.columns.lowerBound + offset..<$0.columns.upperBound + offset
                        }
                    }
                    #expect(together == whole, "groups of \(size), \(perShard) slices to a shard")
                }
            }
        }
    }
}

/// Which attention heads a shard computes and which key-value heads it keeps.
///
/// ``ShardGroup/shares(of:unit:)`` divides the query heads. A shard keeps every key-value head that one of its query
/// heads reads. Several shards keep the same one if there are fewer than shards, or if a cut falls inside a group.
public struct HeadPlacement: Equatable, Sendable {
    /// Global indices of the query heads.
    public let queryHeads: Range<Int>
    /// Global indices of the key-value heads.
    public let keyValueHeads: Range<Int>
    /// For each query head of this shard, which of its key-value heads it reads.
    public let keyValueHeadOfQuery: [Int]

    public init(queryHeadCount: Int, keyValueHeadCount: Int, group: ShardGroup, shard: Int) {
        self.init(group.shares(of: queryHeadCount)[shard], perKeyValueHead: queryHeadCount / keyValueHeadCount)
    }

    /// The placements of all shards, in order.
    public static func all(queryHeadCount: Int, keyValueHeadCount: Int, group: ShardGroup) -> [HeadPlacement] {
        group.shares(of: queryHeadCount).map {
            HeadPlacement($0, perKeyValueHead: queryHeadCount / keyValueHeadCount)
        }
    }

    private init(_ heads: Range<Int>, perKeyValueHead: Int) {
        queryHeads = heads
        guard let last = heads.last else {
            keyValueHeads = 0..<0
            keyValueHeadOfQuery = []
            return
        }
        let first = heads.lowerBound / perKeyValueHead
        keyValueHeads = first..<last / perKeyValueHead + 1
        keyValueHeadOfQuery = heads.map { $0 / perKeyValueHead - first }
    }
}

/// The ranks that share every layer of a stage, as the splitting of a dimension sees them.
public struct ShardGroup: Equatable, Sendable {
    /// Shards: the tensor degree.
    public let count: Int
    /// Relative speeds of the shards, or nil when all are alike.
    public let weights: [Double]?

    public init(count: Int, weights: [Double]? = nil) {
        self.count = count
        self.weights = weights.flatMap { Set($0).count > 1 ? $0 : nil }
    }

    /// Whether shards hold whole subtrees of the eight slices of a sum, so that every degree gives the same bits.
    public var nestsInSlices: Bool {
        weights == nil && count <= sliceCount && count & (count - 1) == 0
    }

    /// What each shard holds of a dimension that may be cut at multiples of `unit`.
    public func shares(of length: Int, unit: Int = 1) -> [Range<Int>] {
        if let weights { return weightedRanges(of: length, by: weights, unit: unit) }
        if count & (count - 1) == 0 { return bisectedRanges(of: length, into: count, unit: unit) }
        return balancedRanges(of: length, into: count, unit: unit)
    }
}

/// Slices of a sum over the input dimension.
///
/// Fixed for good: it decides the bits of every result.
public let sliceCount = 8

/// How a sum over an input dimension is cut: where shards and slices may end, and which columns make a block of the input.
///
/// Slices are made by bisection in units, so that they nest; their boundaries depend on the model, never on the plan.
public struct ContractionLayout: Equatable, Sendable {
    /// Input features in all.
    public let length: Int
    /// Boundaries of slices and shards are multiples of this.
    public let unit: Int

    public init(length: Int, unit: Int) {
        self.length = length
        self.unit = unit
    }

    /// A dimension without structure: units of 64 if these make eight equal slices, else of 32; halved until there is one
    /// for each slice (and each shard).
    public init(length: Int, shardCount: Int = 1) {
        var unit = length % (64 * sliceCount) == 0 ? 64 : 32
        while unit > 4 && (length + unit - 1) / unit < max(sliceCount, shardCount) { unit /= 2 }
        self.init(length: length, unit: unit)
    }

    /// Pieces that cannot be cut further.
    public var unitCount: Int { (length + unit - 1) / unit }

    /// Columns of a block of a product's input, at most 64 for integer weights and 32 for others: a row of a matrix tile.
    ///
    /// Divides the unit, so that no block straddles a slice or a shard; for integer weights also the `group` columns that
    /// share a scale. Nil if that leaves less than 4 for them.
    public func inputBlock(group: Int?) -> Int? {
        var block = group == nil ? 32 : 64
        while block > 1 && (unit % block != 0 || group.map { $0 % block != 0 && $0 < length } ?? false) { block /= 2 }
        return group != nil && block < 4 ? nil : block
    }

    /// Ends of the slices of one shard's columns, counted from the shard's first column.
    public func sliceEnds(of share: Range<Int>, in group: ShardGroup) -> [Int] {
        bisectedRanges(of: share.count, into: group.nestsInSlices ? sliceCount / group.count : sliceCount, unit: unit)
            .map(\.upperBound)
    }
}

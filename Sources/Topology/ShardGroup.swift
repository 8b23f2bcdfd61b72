/// The ranks that share every layer of a stage, as far as splitting a dimension needs to know them.
public struct ShardGroup: Equatable, Sendable {
    /// The number of shards, which is the tensor degree.
    public let count: Int
    /// The relative speeds of the shards, or nil if all are equal.
    public let weights: [Double]?

    public init(count: Int, weights: [Double]? = nil) {
        self.count = count
        self.weights = weights.flatMap { Set($0).count > 1 ? $0 : nil }
    }

    /// Whether shards hold whole subtrees of the eight slices of a sum, so that every degree gives the same bits.
    public var nestsInSlices: Bool {
        weights == nil && count <= sliceCount && count & (count - 1) == 0
    }

    /// The range of a dimension that each shard holds; cuts fall on multiples of `unit`.
    public func shares(of length: Int, unit: Int = 1) -> [Range<Int>] {
        if let weights { return weightedRanges(of: length, by: weights, unit: unit) }
        if count & (count - 1) == 0 { return bisectedRanges(of: length, into: count, unit: unit) }
        return balancedRanges(of: length, into: count, unit: unit)
    }
}

/// The number of slices of a sum over the input dimension.
///
/// It must never change, because it determines the bits of every result.
public let sliceCount = 8

/// How a sum over an input dimension is cut: where shards and slices may end.
///
/// Slices are made by bisection in units, so that they nest; their boundaries depend on the model, never on the plan.
public struct ContractionLayout: Equatable, Sendable {
    /// The total number of input features.
    public let length: Int
    /// Boundaries of slices and shards are multiples of this.
    public let unit: Int

    public init(length: Int, unit: Int) {
        self.length = length
        self.unit = unit
    }

    /// Creates the layout of a dimension without structure.
    ///
    /// The unit is 64 if that makes eight equal slices, else 32. It is halved, down to 4, until there is a unit for
    /// each slice and each shard.
    public init(length: Int, shardCount: Int = 1) {
        var unit = length % (64 * sliceCount) == 0 ? 64 : 32
        while unit > 4 && (length + unit - 1) / unit < max(sliceCount, shardCount) { unit /= 2 }
        self.init(length: length, unit: unit)
    }

    /// The number of units, which cannot be cut further.
    public var unitCount: Int { (length + unit - 1) / unit }

    /// Columns of a run of pairs of bfloat16: at most 32, a row of a matrix tile.
    ///
    /// A run divides the unit, so that no slice and no shard cuts it.
    public var run: Int { [32, 16, 8, 4, 2].first { unit % $0 == 0 } ?? 1 }

    /// The largest number, at most 8, of which all places where a block of inputs may end are multiples, but for the end
    /// of the columns.
    ///
    /// Blocks end with slices, with shards, with groups of `group` columns that share a weight's scale, and after 128
    /// columns (see `InputBlock`).
    public func blockGranularity(group: Int) -> Int {
        [8, 4, 2].first { unit % $0 == 0 && (group % $0 == 0 || group >= length) } ?? 1
    }

    /// Ends of the slices of one shard's columns, counted from the shard's first column.
    public func sliceEnds(of share: Range<Int>, in group: ShardGroup) -> [Int] {
        bisectedRanges(of: share.count, into: group.nestsInSlices ? sliceCount / group.count : sliceCount, unit: unit)
            .map(\.upperBound)
    }
}

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

/// How a sum over an input dimension is cut: where shards and slices may end, and which columns form an input block.
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

    /// Columns per block of a product's input: a row of a matrix tile, 64 columns for integer weights, 32 for others.
    ///
    /// It is shorter if it has to be. The block divides the unit, so that none straddles a slice or a shard. For
    /// integer weights it also divides the `group` columns that share a scale; nil if that leaves fewer than 4 columns.
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

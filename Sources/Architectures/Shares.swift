import Topology

// Where a weight is cut: which rows and columns of each parameter a rank keeps.

/// The part of a parameter that one rank keeps; with experts, the part of each expert.
public struct ParameterShare: Equatable, Sendable {
    /// The number of experts; 1 for parameters without experts.
    public var copies: Int
    /// Output features; for a vector, its elements.
    public var rows: Range<Int>
    /// Input features; for a vector, a single column.
    public var columns: Range<Int>

    /// The number of elements that the rank keeps.
    public var count: Int { copies * rows.count * columns.count }
}

extension DecoderConfiguration {
    /// The part of a parameter that a rank keeps, if the rank's stage holds the parameter.
    public func share(of parameter: Parameter, at placement: Placement) -> ParameterShare {
        let isVector = parameter.role != .matrix && parameter.role != .table
        let shape = isVector ? parameter.shape + [1] : parameter.shape
        var share = ParameterShare(
            copies: shape.dropLast(2).reduce(1, *), rows: 0..<shape[shape.count - 2],
            columns: 0..<shape[shape.count - 1])
        switch parameter.sharding {
        case .replicated: break
        case .even: share.rows = placement.group.shares(of: share.rows.count)[placement.shard]
        case .vocabulary: share.rows = placement.group.shares(of: vocabularySize)[placement.shard]
        case .column: share.rows = features(of: parameter, length: share.rows.count, at: placement)
        case .row: share.columns = features(of: parameter, length: share.columns.count, at: placement)
        case .heads(let kind):
            share.rows = rows(ofHeads: kind, of: parameter, length: share.rows.count, at: placement)
        }
        return share
    }

    /// How the sum over a matrix's input features is cut.
    public func contraction(of parameter: Parameter, shardCount: Int) -> ContractionLayout {
        let length = parameter.shape[parameter.shape.count - 1]
        guard case .layer(let layer, let part) = parameter.name, parameter.sharding == .row else {
            return ContractionLayout(length: length)
        }
        return part == .attentionOutput
            ? layers[layer].attention.outputContraction : ContractionLayout(length: length, shardCount: shardCount)
    }

    /// One shard's range of the features between up and down, or of the concatenated outputs of all heads.
    private func features(of parameter: Parameter, length: Int, at placement: Placement) -> Range<Int> {
        if case .layer(_, .attentionOutput) = parameter.name {
            return rows(ofHeads: .query, of: parameter, length: length, at: placement)
        }
        let layout = ContractionLayout(length: length, shardCount: placement.group.count)
        return placement.group.shares(of: length, unit: layout.unit)[placement.shard]
    }

    private func rows(
        ofHeads kind: Sharding.HeadKind, of parameter: Parameter, length: Int, at placement: Placement
    ) -> Range<Int> {
        guard case .layer(let layer, _) = parameter.name else { return 0..<length }
        let attention = layers[layer].attention
        let heads = attention.placement(in: placement.group, shard: placement.shard)
        let (range, count) =
            kind == .query
            ? (heads.queryHeads, attention.queryHeadCount) : (heads.keyValueHeads, attention.keyValueHeadCount)
        let perHead = length / count
        return range.lowerBound * perHead..<range.upperBound * perHead
    }
}

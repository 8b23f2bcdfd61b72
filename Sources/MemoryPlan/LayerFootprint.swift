import Architectures
import Tensors
import Topology

/// The memory that one layer needs on a rank, independent of the run.
///
/// Byte counts are floating-point numbers, because absurd models exceed integers. Below 2⁵³ they are exact.
public struct LayerFootprint: Equatable, Sendable {
    /// Bytes of packed weights, biases and norms.
    public let weights: Double
    /// Bytes of the weights that a token uses; of experts, only the active ones.
    public let activeWeights: Double
    /// Bytes of cache per token.
    public let cachePerToken: Double
    /// The number of positions that a token attends to; nil: no limit.
    public let window: Int?
    let activations: ActivationInventory

    /// - Parameters:
    ///   - index: the layer's number.
    ///   - format: the packed format of a parameter's matrix.
    public init(
        _ index: Int, of decoder: DecoderConfiguration, at placement: Placement, cacheType: KeyValueType,
        format: (ParameterName) -> ComputeFormat
    ) {
        let layer = decoder.layers[index]
        let shares = decoder.parameters(of: layer, at: index).map { ($0, decoder.share(of: $0, at: placement)) }
        func bytes(_ shares: [(Parameter, ParameterShare)]) -> Double {
            Double(packedByteCount(shares, of: decoder, at: placement, format: format))
        }
        weights = bytes(shares)
        activeWeights = weights - bytes(shares.filter { $0.1.copies > 1 }) * (1 - layer.feedForward.activeShare)
        window = layer.attention.window
        activations = decoder.activations(ofLayer: index, at: placement, format: format)
        switch layer.attention {
        case .groupedQuery(let attention):
            let heads = layer.attention.placement(in: placement.group, shard: placement.shard).keyValueHeads.count
            let bytes = cacheType.byteCount(headDimension: attention.headDimension)
            cachePerToken = Double(heads * (bytes.key + bytes.value + bytes.scales))
        case .latent(let attention):
            let bytes = cacheType.byteCount(headDimension: attention.cachedDimension)
            cachePerToken = Double(bytes.key + bytes.scales)
        }
    }
}

/// Bytes of packed matrices, biases and norms.
///
/// Consecutive matrices of the same format that read the same input share panels, because the loader stacks them.
private func packedByteCount(
    _ shares: [(Parameter, ParameterShare)], of decoder: DecoderConfiguration, at placement: Placement,
    format: (ParameterName) -> ComputeFormat
) -> Int {
    var bytes = 0
    var stack: (format: ComputeFormat, columns: Int, rows: Int)?
    func flush() {
        guard let full = stack else { return }
        bytes += full.format.byteCount(
            rows: full.rows, ContractionLayout(length: full.columns), columns: 0..<full.columns)
        stack = nil
    }
    for (parameter, share) in shares {
        guard parameter.role == .matrix else {
            bytes += share.count * MemoryLayout<Float>.size
            continue
        }
        let format = format(parameter.name)
        if parameter.sharding == .row || share.copies > 1 {
            flush()
            let layout = decoder.contraction(of: parameter, shardCount: placement.group.count)
            bytes += share.copies * format.byteCount(rows: share.rows.count, layout, columns: share.columns)
        } else if let open = stack, open.format == format, open.columns == share.columns.count {
            stack?.rows += share.rows.count
        } else {
            flush()
            stack = (format, share.columns.count, share.rows.count)
        }
    }
    flush()
    return bytes
}

extension ComputeFormat {
    /// Bytes of a packed share of a matrix whose input dimension is cut as `layout` says.
    func byteCount(rows: Int, _ layout: ContractionLayout, columns: Range<Int>) -> Int {
        byteCount(rows: rows, columns: columns.count, run: layout.run, offset: columns.lowerBound).total
    }
}

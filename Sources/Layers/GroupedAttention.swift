import Architectures
import Collectives
import Kernels
import Tensors
import Topology

/// Attention over this rank's heads: project, rotate, store, attend, project back.
public struct GroupedAttention {
    let input: ColumnParallelLinear
    let output: RowParallelLinear
    let cache: CacheStorage
    let headMap: HeadMap
    let window: Int
    let headDimension: Int
    let queryScale: Float
    let layer: Int

    public init(
        configuration: GroupedQueryAttention, heads: HeadPlacement, input: ColumnParallelLinear,
        output: RowParallelLinear, cache: CacheStorage, layer: Int
    ) {
        self.input = input
        self.output = output
        self.cache = cache
        self.layer = layer
        headMap = HeadMap(heads.keyValueHeadOfQuery)
        window = configuration.window ?? 0
        headDimension = configuration.headDimension
        queryScale = 1 / Float(configuration.headDimension).squareRoot()
    }

    /// hidden `[tokens, hidden]`, normalized, to the attention's contribution to the residual stream.
    public func callAsFunction(_ hidden: Activations, into result: Activations, _ step: Step) throws(CommunicationError)
    {
        // rows [tokens, (query heads + 2 · key-value heads) · head dimension]
        let rows = step.traced(
            "query, key, value", layer: layer, bytes: input.weight.byteCount, rows: input.weight.rows,
            columns: input.weight.columns
        ) {
            input(hidden, step)
        }
        step.backend.rotateAndStore(
            rows, queryHeadCount: headMap.heads.count,
            angles: Angles(cosines: step.cosines, sines: step.sines, pairCount: headDimension / 2),
            queryScale: queryScale, queryNorm: nil, keyNorm: nil, slots: step.slots, cache: cache)
        let attended = step.traced("attention", layer: layer, bytes: 0, rows: step.tokenCount, columns: rows.width) {
            step.backend.attend(
                rows, headMap: headMap.heads, window: window, items: step.attentionItems, cache: cache,
                scores: ScoreOptions())
        }
        try step.traced(
            "attention output", layer: layer, bytes: output.weight.byteCount, rows: output.weight.rows,
            columns: output.weight.columns
        ) { () throws(CommunicationError) in
            try output(attended, into: result, step)
        }
    }
}

/// For each query head of this rank, the key-value head that it reads.
final class HeadMap {
    let heads: UnsafeBufferPointer<Int32>

    init(_ map: [Int]) {
        let buffer = UnsafeMutableBufferPointer<Int32>.allocate(capacity: map.count)
        _ = buffer.initialize(from: map.map { Int32($0) })
        heads = UnsafeBufferPointer(buffer)
    }

    deinit {
        heads.deallocate()
    }
}

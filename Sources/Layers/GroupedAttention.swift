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
    let projectionLimit: Float?
    let queryNorm: Norm?
    let keyNorm: Norm?
    /// The index of the layer's rotation in `Step.angles`.
    let rotation: Int
    let headMap: HeadMap
    let window: Int
    let queryScale: Float
    let cap: Float
    let slopes: Vector?
    let sinks: Vector?
    /// The layer's number in the model.
    public let layer: Int

    /// - Parameters:
    ///   - input: query, key and value, stacked.
    ///   - rotation: the index of the layer's rotation in `Step.angles`.
    ///   - sinks: `[query heads of this rank]`; nil: none.
    public init(
        configuration: GroupedQueryAttention, heads: HeadPlacement, input: ColumnParallelLinear,
        output: RowParallelLinear, cache: CacheStorage, queryNorm: Norm?, keyNorm: Norm?, rotation: Int, sinks: Vector?,
        layer: Int
    ) {
        self.input = input
        self.output = output
        self.cache = cache
        self.queryNorm = queryNorm
        self.keyNorm = keyNorm
        self.rotation = rotation
        self.sinks = sinks
        self.layer = layer
        headMap = HeadMap(heads.keyValueHeadOfQuery)
        projectionLimit = configuration.projectionLimit
        window = configuration.window ?? 0
        queryScale = configuration.scoreScale
        cap = configuration.scores.cap ?? 0
        slopes = configuration.scores.linearBias.map {
            Vector(Array($0.slopes(headCount: configuration.queryHeadCount)[heads.queryHeads]))
        }
    }

    /// Maps normalized hidden states `[tokens, hidden]` to the attention's contribution to the residual stream.
    public func callAsFunction(_ hidden: Activations, into result: Activations, _ step: Step) throws(CommunicationError)
    {
        // rows [tokens, (query heads + 2 · key-value heads) · head dimension]
        let rows = input(hidden, step)
        if let projectionLimit {
            for index in 0..<rows.tokenCount * rows.width {
                rows.elements[index] = min(max(rows.elements[index], -projectionLimit), projectionLimit)
            }
        }
        step.traced(
            TracedOperation("rotate", .elementwise, layer: layer, rows: rows.tokenCount, columns: rows.width)
        ) {
            step.backend.rotateAndStore(
                rows, queryHeadCount: headMap.heads.count, angles: step.angles[rotation], queryScale: queryScale,
                queryNorm: queryNorm.map { HeadNorm($0.weights) }, keyNorm: keyNorm.map { HeadNorm($0.weights) },
                slots: step.slots, cache: cache)
        }
        let attended = step.traced(description(of: rows, step)) {
            step.backend.attend(
                rows, headMap: headMap.heads, window: window,
                items: step.attentionItems, cache: cache,
                scores: ScoreOptions(cap: cap, slopes: slopes?.elements, sinks: sinks?.elements))
        }
        try output(attended, into: result, step)
    }

    /// Describes the step's attention for traces.
    private func description(of rows: Activations, _ step: Step) -> TracedOperation {
        // Items share what they read, but each reads it anew.
        var read = 0
        var scores = 0
        for item in step.attentionItems {
            let (tokens, end) = (Int(item.token_count), Int(item.first_position + item.token_count))
            read += window == 0 ? end : min(end, window + tokens - 1)
            scores += tokens * (window == 0 ? end : min(end, window))
        }
        return TracedOperation(
            "attention", .attention, layer: layer, rows: rows.tokenCount, columns: rows.width,
            byteCount: read * cache.bytesPerPosition,
            operationCount: 4 * scores * headMap.heads.count * cache.headDimension)
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

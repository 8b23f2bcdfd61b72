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
    let heads: HeadPlacement
    let configuration: GroupedQueryAttention
    let queryNorm: Norm?
    let keyNorm: Norm?
    /// The ranks that share the layer's heads.
    let group: any Communicator
    /// The index of the layer's rotation in `Step.angles`.
    let rotation: Int
    let headMap: HeadMap
    let window: Int
    let cap: Float
    let slopes: Vector?
    let sinks: Vector?
    /// The weights of the norm of values, which are all 1.
    private let ones: Vector?
    /// The layer's number in the model.
    public let layer: Int

    /// - Parameters:
    ///   - input: query, key and value, stacked; only query and key if values are keys.
    ///   - rotation: the index of the layer's rotation in `Step.angles`.
    ///   - sinks: `[query heads of this rank]`; nil: none.
    public init(
        configuration: GroupedQueryAttention, heads: HeadPlacement, input: ColumnParallelLinear,
        output: RowParallelLinear, cache: CacheStorage, queryNorm: Norm?, keyNorm: Norm?, rotation: Int, sinks: Vector?,
        group: any Communicator, layer: Int
    ) {
        self.configuration = configuration
        self.heads = heads
        self.group = group
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
        cap = configuration.scores.cap ?? 0
        ones = configuration.valueNorm.map { _ in
            Vector([Float](repeating: 1, count: configuration.headDimension))
        }
        slopes = configuration.scores.linearBias.map {
            Vector(Array($0.slopes(headCount: configuration.queryHeadCount)[heads.queryHeads]))
        }
    }

    /// Maps normalized hidden states `[tokens, hidden]` to the attention's contribution to the residual stream.
    public func callAsFunction(_ hidden: Activations, into result: Activations, _ step: Step) throws(CommunicationError)
    {
        // rows [tokens, (query heads + 2 · key-value heads) · head dimension]
        let rows = configuration.valuesAreKeys ? keysTwice(hidden, step) : input(hidden, step)
        if let projectionLimit {
            for index in 0..<rows.tokenCount * rows.width {
                rows.elements[index] = min(max(rows.elements[index], -projectionLimit), projectionLimit)
            }
        }
        let mark = step.backend.arena.mark
        let options = try headOptions(rows, step)
        step.traced(
            TracedOperation("rotate", .elementwise, layer: layer, rows: rows.tokenCount, columns: rows.width)
        ) {
            step.backend.rotateAndStore(
                rows, queryHeadCount: headMap.heads.count, angles: step.angles[rotation], options, slots: step.slots,
                cache: cache)
        }
        step.backend.arena.rewind(to: mark)
        let attended = step.traced(description(of: rows, step)) {
            step.backend.attend(
                rows, headMap: headMap.heads, window: window,
                items: step.attentionItems, cache: cache,
                scores: ScoreOptions(cap: cap, slopes: slopes?.elements, sinks: sinks?.elements))
        }
        try output(attended, into: result, step)
    }

    /// Projects queries and keys, and copies the keys to the place of values.
    private func keysTwice(_ hidden: Activations, _ step: Step) -> Activations {
        let (queries, keys) = (heads.queryHeads.count, heads.keyValueHeads.count)
        let dimension = configuration.headDimension
        let rows = step.backend.makeActivations(
            tokenCount: hidden.tokenCount, width: (queries + 2 * keys) * dimension)
        input.write(hidden, into: rows, step)
        for token in 0..<rows.tokenCount {
            let row = rows.elements + token * rows.stride + queries * dimension
            (row + keys * dimension).update(from: row, count: keys * dimension)
        }
        return rows
    }

    /// The norms and factors of the heads of `rows`; what they take of the arena may be given back after their use.
    private func headOptions(_ rows: Activations, _ step: Step) throws(CommunicationError) -> HeadOptions {
        var options = HeadOptions(queryScale: configuration.scoreScale)
        if let growth = configuration.scores.growth {
            let factors: UnsafeMutablePointer<Float> = step.backend.arena.take(rows.tokenCount)
            for row in 0..<rows.tokenCount { factors[row] = growth.factor(position: Int(step.slots[row].position)) }
            options.queryFactors = UnsafePointer(factors)
        }
        if let norm = configuration.valueNorm, let ones {
            options.valueNorm = HeadNorm(
                NormWeights(kind: norm.kind, weight: ones.elements, epsilon: norm.epsilon))
        }
        guard let kind = configuration.queryKeyNorm, let queryNorm, let keyNorm else { return options }
        options.normsFollowRotation = kind.isAfterRotation
        let dimension = configuration.headDimension
        switch kind.span {
        case .perHead:
            options.queryNorm = HeadNorm(queryNorm.weights)
            options.keyNorm = HeadNorm(keyNorm.weights)
        case .eachHead:
            options.queryNorm = HeadNorm(queryNorm.weights, stride: dimension)
            options.keyNorm = HeadNorm(keyNorm.weights, stride: dimension)
        case .allHeads:
            let factors = try jointFactors(rows, epsilon: kind.norm.epsilon, step)
            options.queryNorm = HeadNorm(queryNorm.weights, stride: dimension, factors: factors.queries)
            options.keyNorm = HeadNorm(keyNorm.weights, stride: dimension, factors: factors.keys)
        }
        return options
    }

    /// The factors of a root-mean-square norm over all heads of each token's queries, and over those of its keys.
    ///
    /// The ranks exchange the sum of each head's squares. Every rank adds them up in the order of heads, so the bits do
    /// not depend on the number of ranks.
    private func jointFactors(
        _ rows: Activations, epsilon: Float, _ step: Step
    ) throws(CommunicationError) -> (queries: UnsafePointer<Float>, keys: UnsafePointer<Float>) {
        let (queryCount, keyCount) = (configuration.queryHeadCount, configuration.keyValueHeadCount)
        let (tokens, dimension, width) = (rows.tokenCount, configuration.headDimension, queryCount + keyCount)
        let sums = step.backend.makeActivations(tokenCount: tokens, width: width)
        sums.elements.update(repeating: 0, count: tokens * width)
        step.backend.writeSquares(
            of: rows, headCount: heads.queryHeads.count, headDimension: dimension,
            into: sums.elements + heads.queryHeads.lowerBound, stride: width)
        let keys = Activations(
            elements: rows.elements + heads.queryHeads.count * dimension, tokenCount: tokens,
            width: heads.keyValueHeads.count * dimension, stride: rows.stride)
        step.backend.writeSquares(
            of: keys, headCount: heads.keyValueHeads.count, headDimension: dimension,
            into: sums.elements + queryCount + heads.keyValueHeads.lowerBound, stride: width)
        if group.size > 1 {
            let bytes = UnsafeMutableRawBufferPointer(sums.contiguous)
            try step.traced(
                TracedOperation(
                    "all-reduce", .allReduce, layer: layer, rows: tokens, columns: width, byteCount: bytes.count),
                with: group
            ) { () throws(CommunicationError) in
                // No square is below 0, so the maximum is what some rank has, even if several ranks have the same head.
                try group.allReduce(UnsafeRawBufferPointer(bytes), into: bytes, .float32, .maximum)
            }
        }
        let queryFactors: UnsafeMutablePointer<Float> = step.backend.arena.take(tokens)
        let keyFactors: UnsafeMutablePointer<Float> = step.backend.arena.take(tokens)
        for token in 0..<tokens {
            let row = sums.elements + token * width
            func factor(_ heads: Range<Int>) -> Float {
                var sum: Float = 0
                for head in heads { sum += row[head] }
                return 1 / (sum / Float(heads.count * dimension) + epsilon).squareRoot()
            }
            queryFactors[token] = factor(0..<queryCount)
            keyFactors[token] = factor(queryCount..<width)
        }
        return (UnsafePointer(queryFactors), UnsafePointer(keyFactors))
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

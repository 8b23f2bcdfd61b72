import CKernels
import Tensors

/// Where a token's keys and values go: a block of the cache and a position in the sequence.
public typealias CacheSlot = ck_slot

/// Some consecutive tokens of one sequence whose attention is computed together.
public typealias AttentionItem = ck_attention_item

/// Kernels, workers and the step's memory: what a layer computes with.
///
/// Shapes are checked here, once; kernels check nothing. No method allocates except from the arena.
public final class CPUBackend {
    public let table: KernelTable
    public let pool: WorkerPool
    public let arena: Arena
    private let kernels: Jobs

    /// The table's kernels as the pool runs them: each takes one pointer and one `ck_part`.
    private struct Jobs {
        let matmul: WorkerPool.Job
        let quantize: WorkerPool.Job
        let round: WorkerPool.Job
        let norm: WorkerPool.Job
        let gate: WorkerPool.Job
        let store: WorkerPool.Job
        let attend: WorkerPool.Job

        init(_ table: ck_kernels) {
            // Pointers to different structs are passed alike, so all of these have the calling convention of `Job`.
            matmul = unsafeBitCast(table.matmul, to: WorkerPool.Job.self)
            quantize = unsafeBitCast(table.quantize, to: WorkerPool.Job.self)
            round = unsafeBitCast(table.round, to: WorkerPool.Job.self)
            norm = unsafeBitCast(table.norm, to: WorkerPool.Job.self)
            gate = unsafeBitCast(table.gate, to: WorkerPool.Job.self)
            store = unsafeBitCast(table.store, to: WorkerPool.Job.self)
            attend = unsafeBitCast(table.attend, to: WorkerPool.Job.self)
        }
    }

    public init(table: KernelTable, pool: WorkerPool, arena: Arena) {
        self.table = table
        self.pool = pool
        self.arena = arena
        kernels = Jobs(table.functions.pointee)
    }

    private func run<Arguments: BitwiseCopyable>(
        _ job: WorkerPool.Job, _ arguments: inout Arguments, alone: Bool = false
    ) {
        withUnsafePointer(to: &arguments) { pool.run(job, UnsafeRawPointer($0), alone: alone) }
    }

    /// Uninitialised rows from the arena.
    public func makeActivations(tokenCount: Int, width: Int) -> Activations {
        Activations(elements: arena.take(tokenCount * width), tokenCount: tokenCount, width: width)
    }

    /// `input` as 8-bit codes, `block` columns to a scale.
    public func quantize(_ input: Activations, block: Int) -> BlockedActivations {
        let blocks = (input.width + block - 1) / block
        let codes = BlockedActivations.Codes(
            elements: arena.take(input.tokenCount * blocks * block + BlockedActivations.padding.elements),
            scales: arena.take(input.tokenCount * blocks + BlockedActivations.padding.scales / 4),
            corrections: arena.take(input.tokenCount * blocks))
        var arguments = ck_quantize(
            input: input.elements, input_stride: Int64(input.stride), tokens: Int64(input.tokenCount),
            columns: Int64(input.width), block: Int32(block), codes: codes.elements, scales: codes.scales,
            corrections: codes.corrections)
        run(kernels.quantize, &arguments, alone: input.tokenCount == 1)
        return BlockedActivations(codes: codes, block: block)
    }

    /// `input` rounded to bfloat16, in blocks of an even number of columns.
    public func round(_ input: Activations, block: Int) -> BlockedActivations {
        precondition(block % 2 == 0)
        let blocks = (input.width + block - 1) / block
        let rounded: UnsafeMutablePointer<UInt16> = arena.take(
            input.tokenCount * blocks * block + BlockedActivations.padding.elements / 2)
        var arguments = ck_round(
            input: input.elements, input_stride: Int64(input.stride), tokens: Int64(input.tokenCount),
            columns: Int64(input.width), block: Int32(block), rounded: rounded)
        run(kernels.round, &arguments, alone: input.tokenCount == 1)
        return BlockedActivations(rounded: rounded, block: block)
    }

    /// output `[tokens, rows]` = input `[tokens, columns]` · weightᵀ + bias.
    ///
    /// - Parameter blocked: the input in the form of its weight's type; nil multiplies by the floats themselves.
    public func multiply(
        _ weight: PackedMatrix, by input: Activations, blocked: BlockedActivations?, adding bias: UnsafePointer<Float>?,
        into output: UnsafeMutablePointer<Float>, outputStride: Int
    ) {
        precondition(input.width == weight.columns && (blocked == nil || blocked?.block == weight.block))
        let codes = blocked?.codes
        var arguments = ck_matmul(
            weight: UnsafePointer(weight.description),
            input: ck_input(
                values: input.elements, value_stride: Int64(input.stride),
                codes: codes.map { UnsafePointer($0.elements) },
                scales: codes.map { UnsafePointer($0.scales) },
                corrections: codes.map { UnsafePointer($0.corrections) },
                rounded: blocked?.rounded.map { UnsafePointer($0) }),
            tokens: Int64(input.tokenCount), output: output, output_stride: Int64(outputStride), bias: bias)
        run(kernels.matmul, &arguments)
    }

    /// hidden += delta; the result is hidden / rms(hidden) · weight.
    ///
    /// Both have rows without gaps.
    public func normalize(
        _ hidden: Activations, adding delta: Activations?, weight: UnsafePointer<Float>, epsilon: Float
    ) -> Activations {
        precondition(hidden.stride == hidden.width && (delta == nil || delta?.stride == hidden.width))
        let output = makeActivations(tokenCount: hidden.tokenCount, width: hidden.width)
        var arguments = ck_norm(
            hidden: hidden.elements, delta: delta.map { UnsafePointer($0.elements) }, output: output.elements,
            weight: weight, tokens: Int64(hidden.tokenCount), columns: Int64(hidden.width), epsilon: epsilon)
        run(kernels.norm, &arguments, alone: hidden.tokenCount == 1)
        return output
    }

    /// silu(gate) · up, of rows that hold `[gate | up]`.
    public func gate(_ gateAndUp: Activations) -> Activations {
        let width = gateAndUp.width / 2
        let output = makeActivations(tokenCount: gateAndUp.tokenCount, width: width)
        var arguments = ck_gate(
            gate: gateAndUp.elements, up: gateAndUp.elements + width, output: output.elements,
            stride: Int64(gateAndUp.stride), output_stride: Int64(output.stride), tokens: Int64(gateAndUp.tokenCount),
            columns: Int64(width))
        run(kernels.gate, &arguments)
        return output
    }

    /// Rotates queries and keys of rows `[queries | keys | values]` and stores keys and values in the cache.
    ///
    /// `cosines`, `sines`: `[tokens][head dimension / 2]`. Queries are multiplied by `queryScale`.
    public func rotateAndStore(
        _ rows: Activations, queryHeadCount: Int, cosines: UnsafePointer<Float>, sines: UnsafePointer<Float>,
        queryScale: Float, slots: UnsafePointer<CacheSlot>, cache: CacheStorage
    ) {
        let heads = queryHeadCount + 2 * Int(cache.description.heads)
        precondition(rows.width == heads * Int(cache.description.head_dim))
        var arguments = ck_store(
            rows: rows.elements, stride: Int64(rows.stride), tokens: Int64(rows.tokenCount),
            query_heads: Int64(queryHeadCount), cosines: cosines, sines: sines, query_scale: queryScale, slots: slots,
            cache: cache.description)
        run(kernels.store, &arguments, alone: rows.tokenCount == 1)
    }

    /// Attention of rows' queries over the cache: `[tokens, query heads · head dimension]`.
    ///
    /// - Parameters:
    ///   - headMap: which cache head each query head reads.
    ///   - window: positions that a token sees, itself included; 0 for all.
    public func attend(
        _ rows: Activations, headMap: UnsafeBufferPointer<Int32>, window: Int,
        items: UnsafeBufferPointer<AttentionItem>,
        cache: CacheStorage
    ) -> Activations {
        let output = makeActivations(
            tokenCount: rows.tokenCount, width: headMap.count * Int(cache.description.head_dim))
        guard let map = headMap.baseAddress, let items = items.baseAddress.map({ (base: $0, count: items.count) })
        else {
            return output
        }
        var arguments = ck_attend(
            queries: rows.elements, output: output.elements, query_stride: Int64(rows.stride),
            output_stride: Int64(output.stride), head_map: map, query_heads: Int64(headMap.count),
            window: Int64(window), items: items.base, item_count: Int64(items.count), cache: cache.description)
        run(kernels.attend, &arguments)
        return output
    }

    /// a += b.
    public func add(_ b: Activations, to a: Activations) {
        let target = a.contiguous
        guard let base = target.baseAddress else { return }
        ck_add(base, b.elements, Int64(target.count))
    }
}

import CKernels
import Tensors

/// The place of a token's keys and values: a block of the cache and a position in the sequence.
public typealias CacheSlot = ck_slot

/// Some consecutive tokens of one sequence whose attention is computed together.
public typealias AttentionItem = ck_attention_item

/// The kernels, the workers and the step's memory, with which layers compute.
///
/// Its methods check shapes, because kernels check nothing. They allocate only from the arena, but for a small buffer of
/// `attend`, which grows to what the largest step needs.
public final class CPUBackend {
    public let table: KernelTable
    public let pool: WorkerPool
    public let arena: Arena
    private let kernels: ck_kernels
    /// Memory for the sums of attention's spans, which grows with the largest step.
    private var spanSums = UnsafeMutableBufferPointer<Float>(start: nil, count: 0)

    public init(table: KernelTable, pool: WorkerPool, arena: Arena) {
        self.table = table
        self.pool = pool
        self.arena = arena
        kernels = table.functions.pointee
    }

    deinit {
        spanSums.deallocate()
    }

    private func run<Arguments: BitwiseCopyable>(
        _ kernel: @escaping ck_kernel, _ arguments: inout Arguments, alone: Bool = false
    ) {
        withUnsafePointer(to: &arguments) { pool.run(kernel, UnsafeRawPointer($0), alone: alone) }
    }

    /// Takes uninitialised rows from the arena.
    public func makeActivations(tokenCount: Int, width: Int) -> Activations {
        Activations(elements: arena.take(tokenCount * width), tokenCount: tokenCount, width: width)
    }

    /// Quantizes `input` to 8-bit codes, with a scale for each block of the columns of `weight`, which has integers.
    public func quantize(_ input: Activations, for weight: PackedMatrix) -> BlockedActivations {
        precondition(input.width == weight.columns && weight.format.groups != nil)
        let tokens = input.tokenCount
        let padding = BlockedActivations.padding
        let codes = BlockedActivations.Codes(
            elements: arena.take(tokens * weight.paddedColumns + padding.elements),
            scales: arena.take(tokens * weight.blockCount + padding.scales / MemoryLayout<Float>.size),
            corrections: arena.take(tokens * weight.blockCount + padding.scales / MemoryLayout<Int32>.size))
        if let blocks = weight.description.pointee.blocks {
            var arguments = ck_quantize(
                input: input.elements, input_stride: Int64(input.stride), tokens: Int64(tokens),
                columns: Int64(input.width), blocks: blocks, block_count: Int64(weight.blockCount),
                codes: codes.elements, scales: codes.scales, corrections: codes.corrections)
            run(kernels.quantize, &arguments, alone: tokens == 1)
        }
        return BlockedActivations(codes: codes, for: ObjectIdentifier(weight))
    }

    /// Rounds `input` to bfloat16, in runs of columns as those of `weight`.
    public func round(_ input: Activations, for weight: PackedMatrix) -> BlockedActivations {
        precondition(input.width == weight.columns && weight.format == .bfloat16)
        let rounded: UnsafeMutablePointer<UInt16> = arena.take(
            input.tokenCount * weight.paddedColumns
                + BlockedActivations.padding.elements / MemoryLayout<UInt16>.size)
        var arguments = ck_round(
            input: input.elements, input_stride: Int64(input.stride), tokens: Int64(input.tokenCount),
            columns: Int64(input.width), run: weight.description.pointee.run, rounded: rounded)
        run(kernels.round, &arguments, alone: input.tokenCount == 1)
        return BlockedActivations(rounded: rounded, for: ObjectIdentifier(weight))
    }

    /// Gives output `[tokens, rows]` = input `[tokens, columns]` · weightᵀ + bias.
    ///
    /// - Parameter blocked: the input as codes or rounded, as the weight's type requires; nil to multiply by the floats
    ///   of `input`.
    public func multiply(
        _ weight: PackedMatrix, by input: Activations, blocked: BlockedActivations?, adding bias: UnsafePointer<Float>?,
        into output: UnsafeMutablePointer<Float>, outputStride: Int
    ) {
        precondition(input.width == weight.columns && (blocked == nil || blocked?.weight == ObjectIdentifier(weight)))
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

    /// Adds the scaled `delta`, if there is one, to `hidden` in place, and gives `hidden` normalized.
    ///
    /// The rows of all three must lie without gaps.
    ///
    /// - Parameter output: room for the result, which may be `hidden` itself; nil to make new rows.
    @discardableResult
    public func normalize(
        _ hidden: Activations, adding delta: Activations?, scaledBy scale: Float = 1, _ norm: NormWeights,
        into output: Activations? = nil
    ) -> Activations {
        let output = output ?? makeActivations(tokenCount: hidden.tokenCount, width: hidden.width)
        precondition(hidden.stride == hidden.width && output.stride == hidden.width)
        precondition(output.tokenCount == hidden.tokenCount && (delta == nil || delta?.stride == hidden.width))
        var arguments = ck_norm(
            hidden: hidden.elements, delta: delta.map { UnsafePointer($0.elements) }, output: output.elements,
            norm: norm.description, tokens: Int64(hidden.tokenCount), columns: Int64(hidden.width), delta_scale: scale)
        run(kernels.norm, &arguments, alone: hidden.tokenCount == 1)
        return output
    }

    /// Applies the activation to each element; if rows hold `[gate | up]`, multiplies the activation of `gate` by `up`.
    ///
    /// The results of gated rows are new rows of half the width; other rows are changed in place.
    ///
    /// - Parameter coefficients: p and n of xIELU; other activations have none.
    @discardableResult
    public func activate(
        _ rows: Activations, _ activation: Activation, isGated: Bool, coefficients: (Float, Float) = (0, 0)
    ) -> Activations {
        guard isGated else {
            activate(rows, up: nil, into: rows, by: activation.kernelActivation, coefficients)
            return rows
        }
        let output = makeActivations(tokenCount: rows.tokenCount, width: rows.width / 2)
        activate(rows, up: rows.elements + output.width, into: output, by: activation.kernelActivation, coefficients)
        return output
    }

    /// Replaces each element x by cap · tanh(x / cap), in place.
    public func softcap(_ rows: Activations, cap: Float) {
        activate(rows, up: nil, into: rows, by: CK_SOFTCAP, (cap, 0))
    }

    private func activate(
        _ rows: Activations, up: UnsafePointer<Float>?, into output: Activations, by activation: ck_activation,
        _ coefficients: (Float, Float)
    ) {
        var arguments = ck_activate(
            input: rows.elements, up: up, output: output.elements, stride: Int64(rows.stride),
            output_stride: Int64(output.stride), tokens: Int64(rows.tokenCount), columns: Int64(output.width),
            activation: activation, coefficients: coefficients)
        run(kernels.activate, &arguments)
    }

    /// Writes the sum of the squares of each head of each row to `sums`, whose rows are `stride` elements apart.
    public func writeSquares(
        of rows: Activations, headCount: Int, headDimension: Int, into sums: UnsafeMutablePointer<Float>, stride: Int
    ) {
        precondition(headCount * headDimension <= rows.width && headCount <= stride)
        var arguments = ck_squares(
            rows: rows.elements, stride: Int64(rows.stride), tokens: Int64(rows.tokenCount), heads: Int64(headCount),
            head_dim: Int64(headDimension), sums: sums, sums_stride: Int64(stride))
        run(kernels.squares, &arguments, alone: rows.tokenCount == 1)
    }

    /// Normalizes, rotates and scales queries and keys of rows `[queries | keys | values]`, in place, and stores keys
    /// and values in the cache.
    public func rotateAndStore(
        _ rows: Activations, queryHeadCount: Int, angles: Angles, _ options: HeadOptions,
        slots: UnsafePointer<CacheSlot>, cache: CacheStorage
    ) {
        let heads = queryHeadCount + 2 * Int(cache.description.heads)
        precondition(rows.width == heads * Int(cache.description.head_dim))
        precondition(2 * angles.pairCount <= Int(cache.description.head_dim))
        precondition(angles.pairCount == 0 || (angles.cosines != nil && angles.sines != nil))
        var arguments = ck_store(
            rows: rows.elements, stride: Int64(rows.stride), tokens: Int64(rows.tokenCount),
            query_heads: Int64(queryHeadCount), rotated: Int64(2 * angles.pairCount), cosines: angles.cosines,
            sines: angles.sines, query_scale: options.queryScale, query_factors: options.queryFactors,
            query_norm: options.queryNorm.description, key_norm: options.keyNorm.description,
            value_norm: options.valueNorm.description, norms_follow: options.normsFollowRotation, slots: slots,
            cache: cache.description)
        run(kernels.store, &arguments, alone: rows.tokenCount == 1)
    }

    /// Gives the attention of the rows' queries over the cache: `[tokens, query heads · head dimension]`.
    ///
    /// - Parameters:
    ///   - headMap: the cache head that each query head reads.
    ///   - window: the number of positions that a token sees, itself included; 0 for all.
    ///   - scores: the options of scores; slopes and sinks have an element for each query head.
    public func attend(
        _ rows: Activations, headMap: UnsafeBufferPointer<Int32>, window: Int,
        items: UnsafeBufferPointer<AttentionItem>, cache: CacheStorage, scores: ScoreOptions
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
            window: Int64(window), cap: scores.cap, slopes: scores.slopes, sinks: scores.sinks, items: items.base,
            item_count: Int64(items.count), cache: cache.description)
        let headCount = items.count * Int(cache.description.heads)
        let spanCount = headCount > 0 && 2 * headCount <= pool.count ? spanCountInDecode(&arguments) : 1
        if spanCount > 1 {
            attendBySpans(&arguments, spanCount: spanCount, headCount: headCount)
        } else {
            run(kernels.attend, &arguments)
        }
        return output
    }

    /// Gives the most spans that an item's token sees, or 1 if an item has several tokens.
    private func spanCountInDecode(_ arguments: inout ck_attend) -> Int {
        var most = 1
        for index in 0..<Int(arguments.item_count) {
            let item = arguments.items[index]
            guard item.token_count == 1 else { return 1 }
            most = max(most, Int(ck_span_count(&arguments, item.first_position)))
        }
        return most
    }

    /// Computes the attention of single tokens by spans, because there are fewer heads than workers.
    ///
    /// - Parameter headCount: the number of cache heads of all items.
    private func attendBySpans(_ arguments: inout ck_attend, spanCount: Int, headCount: Int) {
        // Two spans for each worker: fewer would leave workers idle, and more would only take memory.
        let together = min(spanCount, 2 * pool.count / headCount)
        let rowCount = Int(arguments.item_count * arguments.query_heads)
        let row = Int(arguments.cache.value_stride) + ComputeFormat.panelRows
        let needed = rowCount * (together + 1) * row
        if spanSums.count < needed {
            spanSums.deallocate()
            spanSums = .allocate(capacity: needed)
        }
        guard let sums = spanSums.baseAddress else { return }
        withUnsafePointer(to: &arguments) { attend in
            for first in stride(from: 0, to: spanCount, by: together) {
                var spans = ck_attend_spans(
                    attend: attend, first: Int64(first), count: Int64(together), spans: sums + rowCount * row,
                    sums: sums, row: Int64(row))
                run(kernels.attend_spans, &spans)
                run(kernels.combine_spans, &spans)
            }
        }
    }

    /// Replaces a by a · keep + b · scale; the rows of both must lie without gaps.
    public func add(_ b: Activations, to a: Activations, scaledBy scale: Float = 1, keeping keep: Float = 1) {
        let (target, source) = (a.contiguous, b.contiguous)
        precondition(target.count == source.count)
        guard let sums = target.baseAddress, let terms = source.baseAddress else { return }
        var arguments = ck_add(a: sums, b: terms, count: Int64(target.count), scale: scale, keep: keep)
        run(kernels.add, &arguments, alone: a.tokenCount == 1)
    }
}

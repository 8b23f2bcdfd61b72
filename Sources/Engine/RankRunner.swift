import Collectives
import Kernels
import Layers
import Models
import Tensors

/// What a rank is doing, for whoever watches over the job.
public enum RunnerPhase: Sendable {
    case waiting
    case prefill
    case decode
}

/// The token that a row of logits belongs to.
public struct OutputPlace: Sendable {
    /// The index of the chunk in its step.
    public let chunk: Int
    /// The index of the token in the chunk.
    public let offset: Int
}

/// Runs steps with the same code on every rank, driven by rank 0's messages.
///
/// It owns the buffers that a step needs. After the first steps of each size it allocates nothing.
public final class RankRunner {
    public let decoder: Decoder
    public let backend: CPUBackend
    public let limits: StepLimits
    /// Called when the phase changes, with the number of the step.
    public var onPhase: (RunnerPhase, Int) -> Void = { _, _ in }
    /// Called with the record of a traced step, and its number.
    public var onTrace: (StepTrace, Int) -> Void = { _, _ in }
    /// A task that all ranks run between steps when rank 0 asks for it (`Engine.runAside`); it may make collective calls.
    public var onAside: () throws -> Void = {}
    /// Steps taken so far.
    public private(set) var stepCount = 0

    private var blocks: BlockTable
    /// The number of entries of the last traced step.
    private var traceCapacity = 0
    private let quantizesActivations: Bool
    private let tokens: UnsafeMutablePointer<Int32>
    private let slots: UnsafeMutablePointer<CacheSlot>
    private let items: UnsafeMutablePointer<AttentionItem>
    /// The step's angles for each of the model's distinct rotations.
    private let angles: UnsafeMutablePointer<Angles>
    /// The rows of the step that give logits, and the tokens that these belong to.
    private var outputRows: [Int32] = []
    private var outputPlaces: [OutputPlace] = []
    /// The logits of some rows, `[rows][vocabulary]`, on rank 0; nil on the others.
    private let logits: UnsafeMutablePointer<Float>?
    private let logitsCount: Int
    /// The bytes of one row of logits that each rank computes.
    private let logitBytes: [Int]
    /// The bytes of the current rows that each rank computes; stored, because a step must not allocate.
    private var gathered: [Int]

    /// - Parameter cacheBlockCount: the number of key-value cache blocks that the decoder was loaded with.
    public init(
        decoder: Decoder, backend: CPUBackend, limits: StepLimits, cacheBlockCount: Int, quantizesActivations: Bool
    ) {
        self.decoder = decoder
        self.backend = backend
        self.limits = limits
        self.quantizesActivations = quantizesActivations
        blocks = BlockTable(
            blockCount: cacheBlockCount, blockLength: CacheStorage.blockLength, sequenceCount: limits.sequenceCount,
            sequenceLength: limits.sequenceLength)
        tokens = .allocate(capacity: limits.tokenCount)
        slots = .allocate(capacity: limits.tokenCount)
        items = .allocate(capacity: limits.tokenCount / StepLimits.attentionTile + limits.sequenceCount + 1)
        angles = .allocate(capacity: decoder.rotations.count)
        outputRows.reserveCapacity(limits.tokenCount)
        outputPlaces.reserveCapacity(limits.tokenCount)
        let stages = decoder.context.placement.stageCount
        logitBytes =
            [Int](repeating: 0, count: (stages - 1) * decoder.vocabularyShares.count)
            + decoder.vocabularyShares.map { $0.count * MemoryLayout<Float>.stride }
        gathered = logitBytes
        logitsCount = StepLimits.logitRows * decoder.configuration.vocabularySize
        logits = decoder.context.world.rank == 0 ? .allocate(capacity: logitsCount) : nil
    }

    deinit {
        tokens.deallocate()
        slots.deallocate()
        items.deallocate()
        angles.deallocate()
        logits?.deallocate()
    }

    /// Runs the steps that rank 0 announces until it says stop; every rank but 0 calls this.
    public func follow() throws {
        let message = StepMessage(limits: limits)
        while true {
            onPhase(.waiting, stepCount)
            let start = StepTrace.now()
            try message.broadcast(over: decoder.context.world)
            switch message.kind {
            case .step: try take(message, announcedSince: start) { _, _ in }
            case .aside: try onAside()
            case .stop, nil: return
            }
        }
    }

    /// Takes one step.
    ///
    /// On rank 0 `consume` gets every requested row of logits, in the order of the chunks; it may write to the row.
    ///
    /// - Parameter start: when this rank began to send the message, or to wait for it, in nanoseconds of the monotonic
    ///   clock.
    public func take(
        _ message: StepMessage, announcedSince start: Int64 = StepTrace.now(),
        _ consume: (OutputPlace, _ logits: UnsafeMutableBufferPointer<Float>) -> Void
    ) throws {
        for index in 0..<message.releaseCount { blocks.release(message.release(at: index)) }
        guard message.chunkCount > 0 else { return }
        stepCount += 1
        let isPrefill = message.tokenCount > message.chunkCount
        onPhase(isPrefill ? .prefill : .decode, stepCount)
        let trace = message.isTraced ? StepTrace(isPrefill: isPrefill, capacity: traceCapacity) : nil
        trace?.add(TracedOperation("message", .exchange), since: start)
        let step = prepare(message, trace: trace)
        let rows = UnsafeBufferPointer(start: tokens, count: message.tokenCount)
        let hidden = try decoder(rows, step)
        try deliver(hidden, step, consume)
        if let trace {
            trace.add(
                TracedOperation(isPrefill ? "prefill" : "decode", nil, rows: message.tokenCount), since: start)
            traceCapacity = trace.entries.count
            onTrace(trace, stepCount)
        }
    }

    /// Lays out the step's tokens, slots, angles and attention items.
    private func prepare(_ message: StepMessage, trace: StepTrace?) -> Step {
        backend.arena.reset()
        for (index, table) in decoder.rotations.enumerated() {
            angles[index] = Angles(
                cosines: backend.arena.take(message.tokenCount * table.pairCount, of: Float.self),
                sines: backend.arena.take(message.tokenCount * table.pairCount, of: Float.self),
                pairCount: table.pairCount)
        }
        outputRows.removeAll(keepingCapacity: true)
        outputPlaces.removeAll(keepingCapacity: true)
        var row = 0
        var itemCount = 0
        var chunkIndex = 0
        message.forEachChunk { chunk in
            let fits = blocks.extend(chunk.sequence, toLength: chunk.firstPosition + chunk.tokens.count)
            precondition(fits, "the scheduler admits only what the cache can hold")
            let list = blocks.blocks(of: chunk.sequence)
            for (offset, token) in chunk.tokens.enumerated() {
                let position = chunk.firstPosition + offset
                tokens[row + offset] = token
                slots[row + offset] = CacheSlot(block: list[position / blocks.blockLength], position: Int32(position))
                if chunk.output == .all || (chunk.output == .last && offset == chunk.tokens.count - 1) {
                    outputRows.append(Int32(row + offset))
                    outputPlaces.append(OutputPlace(chunk: chunkIndex, offset: offset))
                }
            }
            for (index, table) in decoder.rotations.enumerated() {
                table.fill(
                    angles[index], firstRow: row,
                    positions: chunk.firstPosition..<chunk.firstPosition + chunk.tokens.count,
                    promptLength: chunk.promptLength)
            }
            for first in stride(from: 0, to: chunk.tokens.count, by: StepLimits.attentionTile) {
                items[itemCount] = AttentionItem(
                    first_row: Int64(row + first),
                    token_count: Int64(min(StepLimits.attentionTile, chunk.tokens.count - first)),
                    first_position: Int64(chunk.firstPosition + first), blocks: list)
                itemCount += 1
            }
            row += chunk.tokens.count
            chunkIndex += 1
        }
        return Step(
            backend: backend, tokenCount: row, angles: angles, slots: slots,
            attentionItems: UnsafeBufferPointer(start: items, count: itemCount),
            quantizesActivations: quantizesActivations, trace: trace)
    }

    /// Computes logits in batches of rows on the last stage, and gathers them on rank 0.
    private func deliver(
        _ hidden: Activations?, _ step: Step, _ consume: (OutputPlace, UnsafeMutableBufferPointer<Float>) -> Void
    ) throws(CommunicationError) {
        let vocabulary = decoder.configuration.vocabularySize
        for start in stride(from: 0, to: outputRows.count, by: StepLimits.logitRows) {
            let mark = backend.arena.mark
            defer { backend.arena.rewind(to: mark) }
            let rows = outputRows[start..<min(start + StepLimits.logitRows, outputRows.count)]
            let mine = hidden.flatMap { decoder.logits(of: $0, rows: rows, step) }
            guard let logits else {
                try gather(mine, rowCount: rows.count, into: nil, step)
                continue
            }
            // The gathered shares of a single row are the row itself; those of several rows must be rearranged.
            let isRow = rows.count == 1
            let parts = isRow ? nil : backend.makeActivations(tokenCount: rows.count, width: vocabulary)
            try gather(mine, rowCount: rows.count, into: parts?.elements ?? logits, step)
            if let parts {
                for share in decoder.vocabularyShares {
                    let part = parts.elements + share.lowerBound * rows.count
                    for row in 0..<rows.count {
                        (logits + row * vocabulary + share.lowerBound).update(
                            from: part + row * share.count, count: share.count)
                    }
                }
            }
            step.traced(TracedOperation("sampling", .sampling, rows: rows.count, columns: vocabulary)) {
                for row in 0..<rows.count {
                    consume(
                        outputPlaces[start + row],
                        UnsafeMutableBufferPointer(start: logits + row * vocabulary, count: vocabulary))
                }
            }
        }
    }

    /// Gathers the ranks' shares of some rows on rank 0, concatenated by rank.
    private func gather(
        _ mine: Activations?, rowCount: Int, into all: UnsafeMutablePointer<Float>?, _ step: Step
    ) throws(CommunicationError) {
        var part = UnsafeRawBufferPointer(start: nil, count: 0)
        if let mine { part = UnsafeRawBufferPointer(mine.contiguous) }
        for rank in gathered.indices { gathered[rank] = logitBytes[rank] * rowCount }
        let byteCount = rowCount * decoder.configuration.vocabularySize * MemoryLayout<Float>.stride
        let world = decoder.context.world
        try step.traced(
            TracedOperation(
                "logits", .exchange, rows: rowCount, columns: decoder.configuration.vocabularySize, byteCount: byteCount
            ),
            with: world
        ) { () throws(CommunicationError) in
            try world.gather(
                part, byteCounts: gathered,
                into: UnsafeMutableRawBufferPointer(start: all, count: all == nil ? 0 : byteCount), to: 0)
        }
    }
}

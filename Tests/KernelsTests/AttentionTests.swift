import Glibc
import Tensors
import TestSupport
import Testing

@testable import Kernels

func exponential(_ x: Double) -> Double { exp(x) }

@Suite struct AttentionTests {
    /// Rows of two sequences, fed in chunks, over a cache whose blocks lie in no order.
    private func run(
        table: KernelTable, workers: Int, type: KeyValueType,
        heads: (query: Int, map: [Int32], cache: Int, dimension: Int),
        window: Int, chunks: [Int], rows: [[Float]]
    ) throws -> [[Float]] {
        let pool = WorkerPool(count: workers)
        defer { pool.stop() }
        let backend = CPUBackend(table: table, pool: pool, arena: try Arena(byteCount: 8 << 20))
        let cache = try CacheStorage(blockCount: 24, headCount: heads.cache, headDimension: heads.dimension, type: type)
        let blocks: [[Int32]] = [[5, 2, 9, 0, 11, 7, 23], [1, 8, 3, 4, 6, 10, 22]]
        var results: [[Float]] = []
        var position = 0
        for length in chunks {
            backend.arena.reset()
            // Both sequences take the same positions in one step.
            let step = backend.makeActivations(tokenCount: 2 * length, width: rows[0].count)
            let half = heads.dimension / 2
            var cosines: [Float] = []
            var sines: [Float] = []
            var slots: [CacheSlot] = []
            for sequence in 0..<2 {
                for offset in 0..<length {
                    let at = position + offset
                    for (i, value) in rows[at].enumerated() {
                        step.elements[(sequence * length + offset) * step.width + i] = sequence == 0 ? value : -value
                    }
                    cosines += (0..<half).map { cos(Float(at) / Float(1 + $0)) }
                    sines += (0..<half).map { sin(Float(at) / Float(1 + $0)) }
                    slots.append(CacheSlot(block: blocks[sequence][at / 64], position: Int32(at)))
                }
            }
            backend.rotateAndStore(
                step, queryHeadCount: heads.query, cosines: cosines, sines: sines, queryScale: 0.25, slots: slots,
                cache: cache)
            blocks[0].withUnsafeBufferPointer { first in
                blocks[1].withUnsafeBufferPointer { second in
                    heads.map.withUnsafeBufferPointer { map in
                        var items: [AttentionItem] = []
                        for (sequence, table) in [first, second].enumerated() {
                            guard let base = table.baseAddress else { return }
                            for start in stride(from: 0, to: length, by: 5) {
                                items.append(
                                    AttentionItem(
                                        first_row: Int64(sequence * length + start),
                                        token_count: Int64(min(5, length - start)),
                                        first_position: Int64(position + start), blocks: base))
                            }
                        }
                        items.withUnsafeBufferPointer { items in
                            let output = backend.attend(step, headMap: map, window: window, items: items, cache: cache)
                            for row in 0..<output.tokenCount {
                                results.append(
                                    Array(
                                        UnsafeBufferPointer(
                                            start: output.elements + row * output.width, count: output.width)))
                            }
                        }
                    }
                }
            }
            position += length
        }
        // By sequence, then position: chunks interleave the sequences.
        var bySequence: [[[Float]]] = [[], []]
        var index = 0
        for length in chunks {
            for sequence in 0..<2 {
                bySequence[sequence] += results[index..<index + length]
                index += length
            }
        }
        return bySequence[0] + bySequence[1]
    }

    /// An eighth of what rounding the cache's elements may change.
    private let tolerances: [KeyValueType: Double] = [
        .float32: 1e-5, .float16: 4e-3, .bfloat16: 3e-2, .int8: 3e-2, .fp8: 0.25,
    ]

    /// Every table, chunking and number of workers gives the same bits; the reference is near the definition.
    @Test(arguments: KeyValueType.allCases, [0, 70]) func equalsTheReference(type: KeyValueType, window: Int) throws {
        var random = SeededGenerator(seed: testSeed)
        let scalar = try #require(KernelTable.select("scalar"))
        for heads in [
            (query: 8, map: [0, 0, 0, 0, 1, 1, 1, 1] as [Int32], cache: 2, dimension: 32),
            (query: 3, map: [0, 0, 1], cache: 2, dimension: 12), (query: 2, map: [0, 1], cache: 2, dimension: 64),
        ] {
            let length = 300
            let rows = (0..<length).map { _ in random.floats((heads.query + 2 * heads.cache) * heads.dimension) }
            let expected = try run(
                table: scalar, workers: 1, type: type, heads: heads, window: window, chunks: [length], rows: rows)
            expectNear(
                expected, rows, heads: heads, window: window,
                tolerance: tolerances[type] ?? 0)
            for table in KernelTable.supported {
                for (workers, chunks) in [
                    (1, [length]), (2, [1, 63, 1, 190, 45]), (1, [240] + Array(repeating: 1, count: 60)),
                ] {
                    let found = try run(
                        table: table, workers: workers, type: type, heads: heads, window: window, chunks: chunks,
                        rows: rows)
                    #expect(
                        difference(found.flatMap { $0 }, expected.flatMap { $0 }) == nil,
                        "\(table.name), chunks \(chunks.prefix(5)), \(heads), seed \(testSeed)")
                }
            }
        }
    }

    private func expectNear(
        _ output: [[Float]], _ rows: [[Float]], heads: (query: Int, map: [Int32], cache: Int, dimension: Int),
        window: Int,
        tolerance: Double
    ) {
        let n = heads.dimension
        func rotated(_ row: [Float], head: Int, position: Int) -> [Double] {
            (0..<n).map { i in
                let pair = i % (n / 2)
                let angle = Double(Float(position) / Float(1 + pair))
                let x = Double(row[head * n + pair])
                let y = Double(row[head * n + pair + n / 2])
                return i < n / 2 ? x * cos(angle) - y * sin(angle) : y * cos(angle) + x * sin(angle)
            }
        }
        for position in [0, 1, 69, 71, 255, 256, 299] {
            for head in 0..<heads.query {
                let query = rotated(rows[position], head: head, position: position)
                let cacheHead = heads.query + Int(heads.map[head])
                let first = window == 0 ? 0 : max(0, position - window + 1)
                let scores = (first...position).map { j in
                    0.25 * zip(query, rotated(rows[j], head: cacheHead, position: j)).reduce(0) { $0 + $1.0 * $1.1 }
                }
                let most = scores.max() ?? 0
                let weights = scores.map { exp($0 - most) }
                let total = weights.reduce(0, +)
                for d in 0..<n {
                    let exact =
                        zip(first...position, weights).reduce(0.0) {
                            $0 + $1.1 * Double(rows[$1.0][(cacheHead + heads.cache) * n + d])
                        } / total
                    let found = Double(output[position][head * n + d])
                    #expect(abs(found - exact) < tolerance * 8, "position \(position) head \(head) seed \(testSeed)")
                }
            }
        }
    }
}

import CKernels
import Glibc
import Tensors
import TestSupport
import Testing

@testable import Kernels

func exponential(_ x: Double) -> Double { exp(x) }

/// Heads of a layer: how many, which cache head each query head reads, and how long they are.
private struct Heads {
    let map: [Int32]
    let dimension: Int

    var queryCount: Int { map.count }
    var cacheCount: Int { Int(map.last ?? 0) + 1 }
    /// Elements of a row `[queries | keys | values]`.
    var rowCount: Int { (queryCount + 2 * cacheCount) * dimension }
}

/// Two sequences' attention by one table, with what it read: queries, and the cache as it holds them.
private struct AttentionRun {
    static let queryScale: Float = 0.25
    static let blocks: [[Int32]] = [[5, 2, 9, 0, 11, 7, 23], [1, 8, 3, 4, 6, 10, 22]]

    let heads: Heads
    let cache: CacheStorage
    /// By sequence and position: the rotated and scaled queries, and the results, each `[head][dimension]`.
    private(set) var queries: [[[Float]]] = [[], []]
    private(set) var results: [[[Float]]] = [[], []]

    static func angle(position: Int, pair: Int) -> Float { Float(position) / Float(1 + pair) }

    /// Feeds rows in chunks, over a cache whose blocks lie in no order; the second sequence has all signs turned.
    init(
        table: KernelTable, workers: Int, type: KeyValueType, heads: Heads, window: Int, chunks: [Int], rows: [[Float]]
    ) throws {
        let pool = WorkerPool(count: workers)
        defer { pool.stop() }
        let backend = CPUBackend(table: table, pool: pool, arena: try Arena(byteCount: 32 << 20))
        self.heads = heads
        cache = try CacheStorage(
            blockCount: 24, headCount: heads.cacheCount, headDimension: heads.dimension, type: type)
        var position = 0
        for length in chunks {
            backend.arena.reset()
            // Both sequences take the same positions in one step.
            let step = backend.makeActivations(tokenCount: 2 * length, width: heads.rowCount)
            let half = heads.dimension / 2
            var (cosines, sines, slots): ([Float], [Float], [CacheSlot]) = ([], [], [])
            for sequence in 0..<2 {
                for at in position..<position + length {
                    let row = step.elements + (sequence * length + at - position) * step.width
                    for (i, value) in rows[at].enumerated() { row[i] = sequence == 0 ? value : -value }
                    cosines += (0..<half).map { cos(Self.angle(position: at, pair: $0)) }
                    sines += (0..<half).map { sin(Self.angle(position: at, pair: $0)) }
                    slots.append(CacheSlot(block: Self.blocks[sequence][at / 64], position: Int32(at)))
                }
            }
            backend.rotateAndStore(
                step, queryHeadCount: heads.queryCount, cosines: cosines, sines: sines, queryScale: Self.queryScale,
                slots: slots, cache: cache)
            func row(_ values: Activations, _ index: Int, _ count: Int) -> [Float] {
                Array(UnsafeBufferPointer(start: values.elements + index * values.stride, count: count))
            }
            let items = Self.items(length: length, position: position)
            let output = heads.map.withUnsafeBufferPointer { map in
                items.withUnsafeBufferPointer {
                    backend.attend(step, headMap: map, window: window, items: $0, cache: cache)
                }
            }
            for sequence in 0..<2 {
                for index in sequence * length..<(sequence + 1) * length {
                    queries[sequence].append(row(step, index, heads.queryCount * heads.dimension))
                    results[sequence].append(row(output, index, output.width))
                }
            }
            position += length
        }
    }

    /// Tables of blocks at addresses that stay.
    nonisolated(unsafe) private static let tables: [UnsafeMutablePointer<Int32>] = blocks.map { list in
        let table = UnsafeMutablePointer<Int32>.allocate(capacity: list.count)
        table.initialize(from: list, count: list.count)
        return table
    }

    private static func items(length: Int, position: Int) -> [AttentionItem] {
        tables.enumerated().flatMap { sequence, table in
            stride(from: 0, to: length, by: 5).map { start in
                AttentionItem(
                    first_row: Int64(sequence * length + start), token_count: Int64(min(5, length - start)),
                    first_position: Int64(position + start), blocks: table)
            }
        }
    }

    var allResults: [Float] { results.flatMap { $0 }.flatMap { $0 } }

    /// A head's key or value at a position, as the cache holds it (`ck_cache` has the layout).
    func stored(_ part: Part, head: Int, position: Int, sequence: Int) -> [Double] {
        let storage = cache.description
        let block = Int(Self.blocks[sequence][position / 64]) * heads.cacheCount + head
        let within = position % 64
        let scales = part == .key ? storage.key_scales : storage.value_scales
        let scale = scales.map { Double($0[block * 64 + within]) } ?? 1
        return (0..<heads.dimension).map { d in
            let index =
                switch part {
                case .key: block * 64 * heads.dimension + (within / 16 * heads.dimension + d) * 16 + within % 16
                case .value: (block * 64 + within) * Int(storage.value_stride) + d
                }
            return scale * Self.element(part == .key ? storage.keys : storage.values, index, storage.format)
        }
    }

    enum Part {
        case key
        case value
    }

    /// An element of the cache's formats, by their definitions.
    private static func element(_ base: UnsafeMutableRawPointer, _ index: Int, _ format: Int32) -> Double {
        switch UInt32(bitPattern: format) {
        case CK_F32.rawValue: return Double(base.assumingMemoryBound(to: Float.self)[index])
        case CK_F16.rawValue: return Double(base.assumingMemoryBound(to: Float16.self)[index])
        case CK_BF16.rawValue: return Double(Float(base.assumingMemoryBound(to: BFloat16.self)[index]))
        case CK_INT8.rawValue: return Double(base.assumingMemoryBound(to: Int8.self)[index])
        default:
            // OCP E4M3: sign, exponent with a bias of 7, three bits of fraction; exponent 0 is subnormal.
            let bits = base.assumingMemoryBound(to: UInt8.self)[index]
            let exponent = Int(bits >> 3 & 15)
            let fraction = Double(bits & 7) / 8
            let magnitude = exponent == 0 ? fraction * 0x1p-6 : (1 + fraction) * pow(2, Double(exponent - 7))
            return bits >> 7 == 1 ? -magnitude : magnitude
        }
    }
}

@Suite struct AttentionTests {
    /// Lengths from the shortest to the longest that the kernels take, and one that is no multiple of 16.
    private static let layers: [Heads] = [
        Heads(map: [0, 0, 0, 0, 1, 1, 1, 1], dimension: 32), Heads(map: [0, 0, 1], dimension: 12),
        Heads(map: [0, 1], dimension: 64), Heads(map: [0, 0, 0], dimension: 16), Heads(map: [0, 0], dimension: 80),
        Heads(map: [0, 0], dimension: 128), Heads(map: [0], dimension: 256), Heads(map: [0], dimension: 512),
    ]

    /// Every table, chunking and number of workers gives the same bits; the reference is near the definition.
    @Test(arguments: KeyValueType.allCases, [0, 70]) func equalsTheReference(type: KeyValueType, window: Int) throws {
        var random = SeededGenerator(seed: testSeed)
        let scalar = try #require(KernelTable.select("scalar"))
        for heads in Self.layers {
            let length = 300
            let rows = (0..<length).map { _ in random.floats(heads.rowCount) }
            let expected = try AttentionRun(
                table: scalar, workers: 1, type: type, heads: heads, window: window, chunks: [length], rows: rows)
            expectStored(expected, rows, type: type)
            expectNear(expected, window: window)
            for table in KernelTable.supported {
                // Long heads take the scalar table seconds a run.
                for (workers, chunks) in [
                    (2, [1, 63, 1, 190, 45]), (1, [length]), (1, [240] + Array(repeating: 1, count: 60)),
                ].prefix(heads.dimension > 64 ? 1 : 3) {
                    let found = try AttentionRun(
                        table: table, workers: workers, type: type, heads: heads, window: window, chunks: chunks,
                        rows: rows)
                    #expect(
                        difference(found.allResults, expected.allResults) == nil,
                        "\(table.name), chunks \(chunks.prefix(5)), \(heads), seed \(testSeed)")
                }
            }
        }
    }

    /// How far the cache may be from what is stored in it, for a value and the largest value of its head.
    private func step(_ type: KeyValueType, _ value: Double, most: Double) -> Double {
        switch type {
        case .float32: 0
        case .float16: max(abs(value) * 0x1p-11, 0x1p-25)
        case .bfloat16: abs(value) * 0x1p-8
        // Half of a step of 1/127 of the largest, and the roundings of the scale.
        case .int8: most / 254 + 3 * 0x1p-24 * most
        // Half a unit in the last of four bits, of subnormals 2⁻¹⁰.
        case .fp8: max(abs(value) * 0x1p-4, 0x1p-10)
        }
    }

    /// Rotated keys and plain values are in the cache, rounded once.
    private func expectStored(_ run: AttentionRun, _ rows: [[Float]], type: KeyValueType) {
        let n = run.heads.dimension
        for position in [0, 1, 63, 64, 150, 299] {
            for head in 0..<run.heads.cacheCount {
                let first = (run.heads.queryCount + head) * n
                let raw = rows[position][first..<first + n].map { Double($0) }
                let value = first + run.heads.cacheCount * n
                let values = rows[position][value..<value + n].map { Double($0) }
                let keys = (0..<n).map { i in
                    let pair = i % (n / 2)
                    let angle = AttentionRun.angle(position: position, pair: pair)
                    let (cosine, sine) = (Double(cos(angle)), Double(sin(angle)))
                    let (x, y) = (raw[pair], raw[pair + n / 2])
                    return i < n / 2 ? x * cosine - y * sine : y * cosine + x * sine
                }
                for (part, exact) in [(AttentionRun.Part.key, keys), (.value, values)] {
                    let found = run.stored(part, head: head, position: position, sequence: 0)
                    let most = exact.map { abs($0) }.max() ?? 0
                    for (i, (found, exact)) in zip(found, exact).enumerated() {
                        // A rotation rounds a product and a sum of two.
                        let rounding =
                            part == .key ? 2 * 0x1p-24 * (abs(raw[i % (n / 2)]) + abs(raw[i % (n / 2) + n / 2])) : 0
                        let tolerance = step(type, exact, most: most) * (1 + 0x1p-10) + rounding
                        #expect(abs(found - exact) <= tolerance, "\(part) \(i) at \(position), seed \(testSeed)")
                    }
                }
            }
        }
    }

    /// The results against the definition in double precision, of the queries and of the cache as it is.
    private func expectNear(_ run: AttentionRun, window: Int) {
        let (n, unit) = (run.heads.dimension, 0x1p-24)
        for (position, sequence) in [(0, 0), (1, 1), (69, 0), (71, 1), (255, 0), (256, 1), (299, 0)] {
            let first = window == 0 ? 0 : max(0, position - window + 1)
            for (head, cacheHead) in run.heads.map.enumerated() {
                let query = run.queries[sequence][position][head * n..<(head + 1) * n].map { Double($0) }
                var scores: [Double] = []
                var largest = 0.0
                for j in first...position {
                    let key = run.stored(.key, head: Int(cacheHead), position: j, sequence: sequence)
                    scores.append(zip(query, key).reduce(0) { $0 + $1.0 * $1.1 })
                    largest = max(largest, zip(query, key).reduce(0) { $0 + abs($1.0 * $1.1) })
                }
                let most = scores.max() ?? 0
                let weights = scores.map { exp($0 - most) }
                let total = weights.reduce(0, +)
                let values = (first...position).map {
                    run.stored(.value, head: Int(cacheHead), position: $0, sequence: sequence)
                }
                // A score adds n products and is scaled; two scores are subtracted; the exponential rounds a few times, and
                // so do the sums of a span of 256 positions and of the spans. Weights stand above and below the line.
                let score = Double(n + 3) * unit * largest
                let relative = 2 * (2 * score + 8 * unit) + 2 * Double(256 + 16 + 8) * unit
                for d in 0..<n {
                    let exact = zip(weights, values).reduce(0.0) { $0 + $1.0 * $1.1[d] } / total
                    let size = zip(weights, values).reduce(0.0) { $0 + $1.0 * abs($1.1[d]) } / total
                    let found = Double(run.results[sequence][position][head * n + d])
                    #expect(
                        abs(found - exact) <= relative * size + 1e-37,
                        "position \(position), head \(head), element \(d) of \(n), seed \(testSeed)")
                }
            }
        }
    }
}

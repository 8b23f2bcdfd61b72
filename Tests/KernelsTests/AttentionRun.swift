import CKernels
import Glibc
import Tensors
import TestSupport
import Testing

@testable import Kernels

/// Heads of a layer: how many, which cache head each query head reads, and how long they are.
struct Heads {
    let map: [Int32]
    let dimension: Int

    var queryCount: Int { map.count }
    var cacheCount: Int { Int(map.last ?? 0) + 1 }
    /// Elements of a row `[queries | keys | values]`.
    var rowCount: Int { (queryCount + 2 * cacheCount) * dimension }
}

/// What a layer's attention does in addition to the plain one.
struct AttentionOptions: CustomStringConvertible {
    let description: String
    /// Elements that are rotated, of a head's.
    var rotated: @Sendable (Int) -> Int = { $0 }
    var queryNorm: NormKind?
    var keyNorm: NormKind?
    var valueNorm: NormKind?
    /// Whether heads have norms of their own, with biases.
    var hasOwnNorms = false
    /// Whether query and key heads are multiplied by a factor of their token and weights, instead of being measured.
    var isJoint = false
    /// Whether query and key heads are rotated first.
    var normsFollow = false
    /// Whether queries have a factor of their token.
    var queriesGrow = false
    var cap: Float = 0
    var hasSlopes = false
    var hasSinks = false

    static let epsilon: Float = 1e-5
    /// Weights, biases, slopes and sinks, at addresses that stay.
    nonisolated(unsafe) private static let constants: [UnsafePointer<Float>] = {
        var random = SeededGenerator(seed: testSeed)
        return [
            (0..<4096).map { _ in Float.random(in: 0.5...1.5, using: &random) }, random.floats(4096),
            (0..<8).map { 1 / Float(8 << $0) }, (0..<8).map { Float($0) - 3 },
        ].map { values in
            let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: values.count)
            _ = buffer.initialize(from: values)
            return UnsafePointer(buffer.baseAddress.unsafelyUnwrapped)
        }
    }()

    /// The norm of heads of this length.
    func headNorm(_ kind: NormKind?, dimension: Int) -> HeadNorm? {
        kind.map {
            HeadNorm(
                NormWeights(
                    kind: $0, weight: Self.constants[0], bias: hasOwnNorms && !isJoint ? Self.constants[1] : nil,
                    epsilon: Self.epsilon), stride: hasOwnNorms ? dimension : 0)
        }
    }

    /// - Parameter factors: a factor for each token.
    func headOptions(dimension: Int, factors: UnsafePointer<Float>) -> HeadOptions {
        func norm(_ kind: NormKind?) -> HeadNorm? {
            headNorm(kind, dimension: dimension).map {
                HeadNorm($0.norm, stride: $0.stride, factors: isJoint ? factors : nil)
            }
        }
        var options = HeadOptions(
            queryScale: AttentionRun.queryScale, queryNorm: norm(queryNorm), keyNorm: norm(keyNorm))
        options.valueNorm = headNorm(valueNorm, dimension: dimension)
        options.queryFactors = queriesGrow ? factors : nil
        options.normsFollowRotation = normsFollow
        return options
    }

    var scores: ScoreOptions {
        ScoreOptions(
            cap: cap, slopes: hasSlopes ? Self.constants[2] : nil, sinks: hasSinks ? Self.constants[3] : nil)
    }
}

/// Two sequences' attention by one table, with what it read: queries, and the cache as it holds them.
struct AttentionRun {
    static let queryScale: Float = 0.25
    static let blocks: [[Int32]] = [
        [5, 2, 9, 0, 11, 7, 23] + stride(from: 24, to: 52, by: 2),
        [1, 8, 3, 4, 6, 10, 22] + stride(from: 51, to: 24, by: -2),
    ]

    let heads: Heads
    let options: AttentionOptions
    let cache: CacheStorage
    /// By sequence and position: the rotated and scaled queries, and the results, each `[head][dimension]`.
    private(set) var queries: [[[Float]]] = [[], []]
    private(set) var results: [[[Float]]] = [[], []]

    static func angle(position: Int, pair: Int) -> Float { Float(position) / Float(1 + pair) }

    /// A factor on the queries, or on the heads, of the token at a position.
    static func factor(position: Int) -> Float { 1 / Float(1 + position % 5) }

    /// Feeds rows in chunks, over a cache whose blocks lie in no order; the second sequence has all signs turned.
    init(
        table: KernelTable, workers: Int, type: KeyValueType, heads: Heads, options: AttentionOptions, window: Int,
        chunks: [Int], rows: [[Float]]
    ) throws {
        let pool = WorkerPool(count: workers, isCrowded: workers > 2)
        defer { pool.stop() }
        let backend = CPUBackend(table: table, pool: pool, arena: try Arena(byteCount: 32 << 20))
        self.heads = heads
        self.options = options
        cache = try CacheStorage(
            blockCount: 52, headCount: heads.cacheCount, headDimension: heads.dimension, type: type)
        var position = 0
        for length in chunks {
            backend.arena.reset()
            // Both sequences take the same positions in one step.
            let step = backend.makeActivations(tokenCount: 2 * length, width: heads.rowCount)
            let pairs = options.rotated(heads.dimension) / 2
            let cosines = backend.arena.take(2 * length * pairs, of: Float.self)
            let sines = backend.arena.take(2 * length * pairs, of: Float.self)
            let factors = backend.arena.take(2 * length, of: Float.self)
            var slots: [CacheSlot] = []
            for sequence in 0..<2 {
                for at in position..<position + length {
                    let token = sequence * length + at - position
                    let row = step.elements + token * step.width
                    for (i, value) in rows[at].enumerated() { row[i] = sequence == 0 ? value : -value }
                    for pair in 0..<pairs {
                        cosines[token * pairs + pair] = cos(Self.angle(position: at, pair: pair))
                        sines[token * pairs + pair] = sin(Self.angle(position: at, pair: pair))
                    }
                    factors[token] = Self.factor(position: at)
                    slots.append(CacheSlot(block: Self.blocks[sequence][at / 64], position: Int32(at)))
                }
            }
            backend.rotateAndStore(
                step, queryHeadCount: heads.queryCount,
                angles: Angles(cosines: cosines, sines: sines, pairCount: pairs),
                options.headOptions(dimension: heads.dimension, factors: factors), slots: slots, cache: cache)
            func row(_ values: Activations, _ index: Int, _ count: Int) -> [Float] {
                Array(UnsafeBufferPointer(start: values.elements + index * values.stride, count: count))
            }
            let items = Self.items(length: length, position: position)
            let output = heads.map.withUnsafeBufferPointer { map in
                items.withUnsafeBufferPointer {
                    backend.attend(
                        step, headMap: map, window: window, items: $0, cache: cache, scores: options.scores)
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
    private static func element(_ base: UnsafeMutableRawPointer, _ index: Int, _ format: ck_format) -> Double {
        switch format {
        case CK_F32: return Double(base.assumingMemoryBound(to: Float.self)[index])
        case CK_F16: return Double(base.assumingMemoryBound(to: Float16.self)[index])
        case CK_BF16: return Double(Float(base.assumingMemoryBound(to: BFloat16.self)[index]))
        case CK_INT8: return Double(base.assumingMemoryBound(to: Int8.self)[index])
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

import Glibc
import Tensors
import TestSupport
import Testing

@testable import Kernels

@Suite struct AttentionTests {
    /// Lengths from the shortest to the longest that the kernels take, and one that is no multiple of 16.
    private static let layers: [Heads] = [
        Heads(map: [0, 0, 0, 0, 1, 1, 1, 1], dimension: 32), Heads(map: [0, 0, 1], dimension: 12),
        Heads(map: [0, 1], dimension: 64), Heads(map: [0, 0, 0], dimension: 16), Heads(map: [0, 0], dimension: 80),
        Heads(map: [0, 0], dimension: 128), Heads(map: [0], dimension: 256), Heads(map: [0], dimension: 512),
    ]

    /// One thing at a time, then all together.
    private static let options: [AttentionOptions] = [
        AttentionOptions(description: "half rotated", rotated: { $0 / 4 * 2 }),
        AttentionOptions(description: "slopes, not rotated", rotated: { _ in 0 }, hasSlopes: true),
        AttentionOptions(description: "cap", cap: 2),
        AttentionOptions(description: "sinks", hasSinks: true),
        AttentionOptions(description: "a norm for all heads", queryNorm: .rms, keyNorm: .rms),
        AttentionOptions(description: "a norm for each key head", keyNorm: .layer, hasOwnNorms: true),
        AttentionOptions(
            description: "norms after rotation", rotated: { $0 / 4 * 2 }, queryNorm: .rms, keyNorm: .layer,
            normsFollow: true),
        AttentionOptions(
            description: "norms over all heads", queryNorm: .rms, keyNorm: .rms, hasOwnNorms: true, isJoint: true),
        AttentionOptions(description: "norms of values, growing queries", valueNorm: .rms, queriesGrow: true),
        AttentionOptions(
            description: "everything", rotated: { $0 / 4 * 2 }, queryNorm: .layer, keyNorm: .rms, valueNorm: .layer,
            hasOwnNorms: true, queriesGrow: true, cap: 5, hasSlopes: true, hasSinks: true),
    ]

    /// Every table, chunking and number of workers gives the same bits; the reference is near the definition.
    @Test(arguments: KeyValueType.allCases, [0, 70]) func equalsTheReference(type: KeyValueType, window: Int) throws {
        var random = SeededGenerator(seed: testSeed)
        for heads in Self.layers {
            // Long heads take the scalar table seconds a run.
            try expectOneAnswer(
                type: type, window: window, heads: heads, options: AttentionOptions(description: "plain"),
                calls: heads.dimension > 64 ? 1 : 3, rows: random.rows(of: heads))
        }
    }

    /// The same for everything else that attention may do.
    @Test(arguments: KeyValueType.allCases, [0, 70]) func optionsEqualTheReference(type: KeyValueType, window: Int)
        throws
    {
        var random = SeededGenerator(seed: testSeed)
        for heads in Self.layers {
            // Of long heads the short windows only, and all options at once: see above.
            guard heads.dimension <= 64 || window > 0 else { continue }
            let rows = random.rows(of: heads)
            for options in heads.dimension <= 16 ? Self.options : Self.options.suffix(1) {
                try expectOneAnswer(type: type, window: window, heads: heads, options: options, calls: 1, rows: rows)
            }
        }
    }

    /// If there are fewer heads than workers, these share the spans of long contexts, and the bits are the same.
    @Test(arguments: KeyValueType.allCases) func spansGiveTheSameBits(type: KeyValueType) throws {
        var random = SeededGenerator(seed: testSeed)
        // Query heads that share a cache head are computed four, two and one at a time.
        let heads = Heads(map: [0, 0, 0, 0, 0, 0, 0, 1, 1, 1], dimension: 12)
        let length = 1300
        let rows = (0..<length).map { _ in random.floats(heads.rowCount) }
        let cases = [(0, AttentionOptions(description: "plain")), (700, Self.options[Self.options.count - 1])]
        for (window, options) in cases {
            for table in KernelTable.supported {
                // Both sequences of a step have two heads. With eight workers, four of six spans go together.
                let runs = try [1, 8].map { workers in
                    try AttentionRun(
                        table: table, workers: workers, type: type, heads: heads, options: options, window: window,
                        chunks: [length - 5, 1, 1, 1, 1, 1], rows: rows)
                }
                #expect(
                    difference(runs[0].allResults, runs[1].allResults) == nil,
                    "\(table.name), \(options), seed \(testSeed)")
            }
        }
    }

    private func expectOneAnswer(
        type: KeyValueType, window: Int, heads: Heads, options: AttentionOptions, calls: Int, rows: [[Float]]
    ) throws {
        let scalar = try #require(KernelTable.select("scalar"))
        let length = rows.count
        let expected = try AttentionRun(
            table: scalar, workers: 1, type: type, heads: heads, options: options, window: window, chunks: [length],
            rows: rows)
        expectStored(expected, rows, type: type)
        expectNear(expected, window: window)
        for table in KernelTable.supported {
            for (workers, chunks) in [
                (2, [1, 63, 1, 190, 45]), (1, [length]), (1, [240] + Array(repeating: 1, count: 60)),
            ].prefix(calls) {
                let found = try AttentionRun(
                    table: table, workers: workers, type: type, heads: heads, options: options, window: window,
                    chunks: chunks, rows: rows)
                #expect(
                    difference(found.allResults, expected.allResults) == nil,
                    "\(table.name), chunks \(chunks.prefix(5)), \(heads), \(options), seed \(testSeed)")
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

    /// A head, normalized by the factor of its token and by weights; each product rounds.
    private func scaled(_ head: [Bounded], by weights: NormWeights, position: Int) -> [Bounded] {
        let factor = Double(AttentionRun.factor(position: position))
        return head.enumerated().map { index, element in
            let exact = element.value * factor * Double(weights.weight[index])
            return Bounded(value: exact, tolerance: 2 * Bounded.unit * abs(exact))
        }
    }

    /// The norm of a head whose elements are off a little.
    private func normalized(_ head: [Bounded], _ norm: NormWeights) -> [Bounded] {
        let off = head.map { $0.tolerance + Bounded.unit * abs($0.value) }
        let mean = norm.kind == .layer ? head.reduce(0) { $0 + $1.value } / Double(head.count) : 0
        let squares = head.reduce(0) { $0 + ($1.value - mean) * ($1.value - mean) }
        let scale = 1 / (squares / Double(head.count) + Double(norm.epsilon)).squareRoot()
        // All errors together change the mean by at most their mean, and the root of the squares by at most their own.
        let most = (off.reduce(0) { $0 + $1 * $1 }).squareRoot() / max(squares, 1e-30).squareRoot()
        let ofMean = norm.kind == .layer ? off.reduce(0, +) / Double(head.count) : 0
        return zip(norm.expected(head.map { Float($0.value) }), zip(head, off)).enumerated().map { index, element in
            let (bounded, (x, off)) = element
            let more = abs(Double(norm.weight[index])) * scale * (off + ofMean + abs(x.value - mean) * 2 * most)
            return Bounded(value: bounded.value, tolerance: bounded.tolerance + more)
        }
    }

    /// A head of a row, normalized (if asked) before or after its rotation, and how far float32 may be from it.
    private func turned(
        _ head: ArraySlice<Float>, norm: NormWeights?, position: Int, rotated: Int, _ options: AttentionOptions
    ) -> [Bounded] {
        var elements = head.map { Bounded(value: Double($0), tolerance: 0) }
        if let norm, options.isJoint {
            elements = scaled(elements, by: norm, position: position)
        } else if let norm, !options.normsFollow {
            elements = norm.expected(Array(head))
        }
        for pair in 0..<rotated / 2 {
            let angle = AttentionRun.angle(position: position, pair: pair)
            let (cosine, sine) = (Double(cos(angle)), Double(sin(angle)))
            let (x, y) = (elements[pair], elements[pair + rotated / 2])
            // A rotation rounds a product and a sum of two.
            let tolerance = x.tolerance + y.tolerance + 2 * Bounded.unit * (abs(x.value) + abs(y.value))
            elements[pair] = Bounded(value: x.value * cosine - y.value * sine, tolerance: tolerance)
            elements[pair + rotated / 2] = Bounded(value: y.value * cosine + x.value * sine, tolerance: tolerance)
        }
        if let norm, options.normsFollow { elements = normalized(elements, norm) }
        return elements
    }

    /// Queries and keys are normalized and rotated, and keys and plain values are in the cache, rounded once.
    private func expectStored(_ run: AttentionRun, _ rows: [[Float]], type: KeyValueType) {
        let (n, options) = (run.heads.dimension, run.options)
        let queryNorm = options.headNorm(options.queryNorm, dimension: n)
        let keyNorm = options.headNorm(options.keyNorm, dimension: n)
        let valueNorm = options.headNorm(options.valueNorm, dimension: n)
        for position in [0, 1, 63, 64, 150, 299] {
            func elements(_ head: Int, _ norm: NormWeights?, rotated: Int) -> [Bounded] {
                turned(
                    rows[position][head * n..<(head + 1) * n], norm: norm, position: position, rotated: rotated, options
                )
            }
            for head in 0..<run.heads.queryCount {
                let exact = elements(head, queryNorm?.of(head: head), rotated: options.rotated(n))
                for (i, exact) in exact.enumerated() {
                    let growth = options.queriesGrow ? Double(AttentionRun.factor(position: position)) : 1
                    let scale = Double(AttentionRun.queryScale) * growth
                    // The factor is a third or a fifth at times; then it and the product round.
                    let rounding = options.queriesGrow ? 2 * Bounded.unit * abs(exact.value) : 0
                    let found = Double(run.queries[0][position][head * n + i])
                    #expect(
                        abs(found - exact.value * scale) <= (exact.tolerance + rounding) * scale,
                        "query \(head), \(i) at \(position), \(options), seed \(testSeed)")
                }
            }
            for head in 0..<run.heads.cacheCount {
                let first = run.heads.queryCount + head
                let keys = elements(first, keyNorm?.of(head: head), rotated: options.rotated(n))
                let plain = rows[position][(first + run.heads.cacheCount) * n..<(first + run.heads.cacheCount + 1) * n]
                let values =
                    valueNorm?.of(head: head).expected(Array(plain))
                    ?? plain.map { Bounded(value: Double($0), tolerance: 0) }
                for (part, exact) in [(AttentionRun.Part.key, keys), (.value, values)] {
                    let found = run.stored(part, head: head, position: position, sequence: 0)
                    let most = exact.map { abs($0.value) }.max() ?? 0
                    for (i, (found, exact)) in zip(found, exact).enumerated() {
                        let tolerance = step(type, exact.value, most: most) * (1 + 0x1p-10) + exact.tolerance
                        #expect(
                            abs(found - exact.value) <= tolerance,
                            "\(part) \(i) at \(position), \(options), seed \(testSeed)")
                    }
                }
            }
        }
    }

    /// The results against the definition in double precision, of the queries and of the cache as it is.
    private func expectNear(_ run: AttentionRun, window: Int) {
        let (n, unit, options) = (run.heads.dimension, Bounded.unit, run.options)
        for (position, sequence) in [(0, 0), (1, 1), (69, 0), (71, 1), (255, 0), (256, 1), (299, 0)] {
            let first = window == 0 ? 0 : max(0, position - window + 1)
            for (head, cacheHead) in run.heads.map.enumerated() {
                let query = run.queries[sequence][position][head * n..<(head + 1) * n].map { Double($0) }
                let sink = options.scores.sinks.map { Double($0[head]) }
                var scores: [Double] = []
                var (largest, farthest) = (0.0, 0.0)
                for j in first...position {
                    let key = run.stored(.key, head: Int(cacheHead), position: j, sequence: sequence)
                    var score = zip(query, key).reduce(0) { $0 + $1.0 * $1.1 }
                    largest = max(largest, zip(query, key).reduce(0) { $0 + abs($1.0 * $1.1) })
                    let cap = Double(options.cap)
                    if cap > 0 { score = cap * tanh(score / cap) }
                    if let slopes = options.scores.slopes { score += Double(slopes[head]) * Double(j - position) }
                    farthest = max(farthest, abs(score))
                    scores.append(score)
                }
                let most = (scores + (sink.map { [$0] } ?? [])).max() ?? 0
                let weights = scores.map { exp($0 - most) }
                let total = weights.reduce(0, +) + (sink.map { exp($0 - most) } ?? 0)
                let values = (first...position).map {
                    run.stored(.value, head: Int(cacheHead), position: $0, sequence: sequence)
                }
                // A score adds n products and is scaled; a cap and a slope round it again. Two scores are subtracted;
                // the exponential rounds a few times, and so do the sums of a span of 256 positions and of the spans.
                // Weights stand above and below the line.
                let score =
                    Double(n + 3) * unit * largest + Bounded.capRoundings * unit * Double(options.cap)
                    + unit * (farthest + abs(sink ?? 0))
                let relative = 2 * (2 * score + 8 * unit) + 2 * Double(256 + 16 + 8) * unit
                for d in 0..<n {
                    let exact = zip(weights, values).reduce(0.0) { $0 + $1.0 * $1.1[d] } / total
                    let size = zip(weights, values).reduce(0.0) { $0 + $1.0 * abs($1.1[d]) } / total
                    let found = Double(run.results[sequence][position][head * n + d])
                    #expect(
                        abs(found - exact) <= relative * size + 1e-37,
                        "position \(position), head \(head), element \(d) of \(n), \(options), seed \(testSeed)")
                }
            }
        }
    }
}

extension SeededGenerator {
    /// Rows `[queries | keys | values]` of a text that is longer than a span of attention.
    fileprivate mutating func rows(of heads: Heads) -> [[Float]] {
        (0..<300).map { _ in floats(heads.rowCount) }
    }
}

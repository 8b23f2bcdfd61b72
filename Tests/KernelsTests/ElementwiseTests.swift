import Glibc
import Tensors
import TestSupport
import Testing

@testable import Kernels

/// Norms, activations and sums: near their definitions, with the same bits from every table.
@Suite struct ElementwiseTests {
    private static let tables = KernelTable.supported + KernelTableTests.standIns

    /// A backend that computes with this table.
    private func backend(_ table: KernelTable, workers: Int = 2) throws -> CPUBackend {
        CPUBackend(table: table, pool: WorkerPool(count: workers), arena: try Arena(byteCount: 1 << 22))
    }

    /// New rows of a backend with these elements.
    private func rows(_ elements: [Float], width: Int, _ backend: CPUBackend) -> Activations {
        let result = backend.makeActivations(tokenCount: elements.count / width, width: width)
        _ = result.contiguous.update(from: elements)
        return result
    }

    /// What `body` makes of every table, which must be the same bits.
    private func oneAnswer(_ what: String, _ body: (CPUBackend) -> [Float]) throws -> [Float] {
        var first: [Float]?
        for table in Self.tables {
            let backend = try backend(table)
            defer { backend.pool.stop() }
            let found = body(backend)
            if let first {
                #expect(difference(found, first) == nil, "\(table.name), \(what), seed \(testSeed)")
            } else {
                first = found
            }
        }
        return try #require(first)
    }

    @Test(arguments: NormKind.allCases, [false, true]) func norms(kind: NormKind, hasBias: Bool) throws {
        var random = SeededGenerator(seed: testSeed)
        for columns in [1, 15, 16, 48, 100, 512] {
            // Away from zero, so that the mean matters.
            let hidden = random.floats(3 * columns).map { $0 + 2 }
            let delta = random.floats(3 * columns)
            let weight = random.floats(columns)
            let bias = random.floats(columns)
            for (scale, isInPlace) in [(nil, false), (1, false), (0.22, false), (nil, true), (0.22, true)]
                as [(Float?, Bool)]
            {
                let found = try weight.withUnsafeBufferPointer { weight in
                    try bias.withUnsafeBufferPointer { bias in
                        let norm = NormWeights(
                            kind: kind, weight: try #require(weight.baseAddress),
                            bias: hasBias ? bias.baseAddress : nil,
                            epsilon: 1e-5)
                        let sums = zip(hidden, delta).map { scale == nil ? $0 : $0.addingProduct($1, scale ?? 0) }
                        let found = try oneAnswer("\(columns) columns, delta times \(scale ?? 0)") { backend in
                            let x = rows(hidden, width: columns, backend)
                            let result = backend.normalize(
                                x, adding: scale == nil ? nil : rows(delta, width: columns, backend),
                                scaledBy: scale ?? 1, norm, into: isInPlace ? x : nil)
                            #expect(isInPlace || difference(Array(x.contiguous), sums) == nil)
                            return Array(result.contiguous)
                        }
                        let exact = stride(from: 0, to: sums.count, by: columns).flatMap {
                            norm.expected(Array(sums[$0..<$0 + columns]))
                        }
                        return zip(exact, found).allSatisfy { $0.holds($1) }
                    }
                }
                #expect(found, "\(columns) columns, seed \(testSeed)")
            }
        }
    }

    /// Every activation, alone and as a gate: a dense sample, large and tiny values, and a NaN.
    @Test(arguments: Activation.allCases) func activations(activation: Activation) throws {
        var random = SeededGenerator(seed: testSeed)
        let ends: [Float] = [0, -0.0, 1e-30, -1e-30, 87, -87, 88.5, -88.5, 103, -103, 1000, -1000, 1e15, -1e15]
        let samples = (-20 * 64...20 * 64).map { Float($0) / 64 } + ends
        for count in [samples.count, 1] {
            let inputs = Array(samples.prefix(count))
            let ups = random.floats(count)
            let alone = try oneAnswer("alone") { backend in
                Array(
                    backend.activate(
                        rows(inputs, width: count, backend), activation, isGated: false,
                        coefficients: Activation.coefficients
                    ).contiguous)
            }
            let gated = try oneAnswer("gate") { backend in
                Array(
                    backend.activate(
                        rows(inputs + ups, width: 2 * count, backend), activation, isGated: true,
                        coefficients: Activation.coefficients
                    ).contiguous)
            }
            for (index, x) in inputs.enumerated() {
                let exact = activation.expected(Double(x))
                #expect(exact.holds(alone[index]), "of \(x): \(alone[index]), expected \(exact)")
                #expect(gated[index] == alone[index] * ups[index], "of \(x) times \(ups[index])")
            }
        }
        for table in Self.tables {
            let backend = try backend(table)
            defer { backend.pool.stop() }
            let found = backend.activate(
                rows([.nan], width: 1, backend), activation, isGated: false, coefficients: Activation.coefficients)
            #expect(found.elements[0].isNaN)
        }
    }

    @Test(arguments: [1, 16, 40]) func squaresOfHeads(dimension: Int) throws {
        var random = SeededGenerator(seed: testSeed)
        let (tokens, heads, stride) = (3, 2, 5)
        let inputs = random.floats(tokens * heads * dimension)
        let found = try oneAnswer("squares of \(dimension)") { backend in
            var sums = [Float](repeating: -1, count: tokens * stride)
            sums.withUnsafeMutableBufferPointer { sums in
                guard let first = sums.baseAddress else { return }
                backend.writeSquares(
                    of: rows(inputs, width: heads * dimension, backend), headCount: heads, headDimension: dimension,
                    into: first + 1, stride: stride)
            }
            return sums
        }
        for token in 0..<tokens {
            for head in 0..<stride {
                let sum = found[token * stride + head]
                guard (1...heads).contains(head) else {
                    #expect(sum == -1)
                    continue
                }
                let x = inputs[(token * heads + head - 1) * dimension..<(token * heads + head) * dimension]
                let exact = x.reduce(0) { $0 + Double($1) * Double($1) }
                #expect(abs(Double(sum) - exact) <= Double(dimension + 1) * Bounded.unit * exact)
            }
        }
    }

    @Test(arguments: [0.5, 30] as [Float]) func softcap(cap: Float) throws {
        let inputs = (-400...400).map { Float($0) / 4 } + [1e30, -1e30, 1e-30, -0.0]
        let found = try oneAnswer("cap \(cap)") { backend in
            let rows = rows(inputs, width: inputs.count, backend)
            backend.softcap(rows, cap: cap)
            return Array(rows.contiguous)
        }
        for (x, found) in zip(inputs, found) {
            let exact = Bounded(
                value: Double(cap) * tanh(Double(x) / Double(cap)),
                tolerance: Bounded.capRoundings * Bounded.unit * Double(cap))
            #expect(exact.holds(found), "of \(x): \(found), expected \(exact)")
        }
        // A NaN must stay one, so that it is found.
        for table in Self.tables {
            let backend = try backend(table)
            defer { backend.pool.stop() }
            let rows = rows([.nan], width: 1, backend)
            backend.softcap(rows, cap: cap)
            #expect(rows.elements[0].isNaN)
        }
    }

    @Test(arguments: [1, 0.3] as [Float]) func sums(scale: Float) throws {
        var random = SeededGenerator(seed: testSeed)
        for width in [1, 16, 50] {
            let (a, b) = (random.floats(3 * width), random.floats(3 * width))
            let found = try oneAnswer("sum of \(width), times \(scale)") { backend in
                let sum = rows(a, width: width, backend)
                backend.add(rows(b, width: width, backend), to: sum, scaledBy: scale)
                return Array(sum.contiguous)
            }
            let partly = try oneAnswer("a part of it") { backend in
                let sum = rows(a, width: width, backend)
                backend.add(rows(b, width: width, backend), to: sum, scaledBy: scale, keeping: 0.7)
                return Array(sum.contiguous)
            }
            #expect(difference(partly, zip(a, b).map { ($0 * 0.7).addingProduct($1, scale) }) == nil)
            #expect(difference(found, zip(a, b).map { $0.addingProduct($1, scale) }) == nil)
            #expect(scale != 1 || difference(found, zip(a, b).map { $0 + $1 }) == nil)
        }
    }
}

import Tensors
import TestSupport
import Testing

@testable import Kernels

/// One matrix product with its inputs, and the same inputs as plain arrays.
private struct Product {
    let weight: PackedMatrix
    let rows: Int
    let columns: Int
    /// What the packed weight stands for, row-major.
    var dense: [Float]

    init(
        format: ComputeFormat, rows: Int, columns: Int, block: Int, sliceEnds: [Int], groupOffset: Int,
        _ random: inout SeededGenerator
    ) throws {
        self.rows = rows
        self.columns = columns
        weight = try PackedMatrix(
            format: format, rows: rows, columns: columns, block: block, sliceEnds: sliceEnds, groupOffset: groupOffset)
        dense = []
        for panel in 0..<weight.panelCount {
            let count = min(16, rows - panel * 16)
            guard let groups = format.groups else {
                var values = random.floats(count * columns)
                if format == .bfloat16 { values = values.map { Float(BFloat16($0)) } }
                if format == .float16 { values = values.map { Float(Float16($0)) } }
                weight.packFloats(panel: panel, rows: values, rowCount: count)
                dense += values
                continue
            }
            let bound: Int8 = if case .int8 = format { 127 } else { 7 }
            let codes = (0..<count * columns).map { _ in Int8.random(in: -bound - 1...bound, using: &random) }
            let scales = (0..<count * weight.groupCount).map { _ in
                let scale = Float.random(in: 0.001...0.1, using: &random)
                switch groups.scaleType {
                case .float16: return Float(Float16(scale))
                case .bfloat16: return Float(BFloat16(scale))
                default: return scale
                }
            }
            let zeros = (0..<count * weight.groupCount).map { _ in Float(Int.random(in: -5...5, using: &random)) }
            weight.packCodes(
                panel: panel, rows: codes, scales: scales, zeros: weight.hasZeros ? zeros : nil, rowCount: count)
            for row in 0..<count {
                for column in 0..<columns {
                    let at = row * weight.groupCount + (column + groupOffset % groups.size) / groups.size
                    let zero = weight.hasZeros ? zeros[at] : 0
                    dense.append((Float(codes[row * columns + column]) - zero) * scales[at])
                }
            }
        }
    }

    func run(table: KernelTable, pool: WorkerPool, input: [Float], tokens: Int, blocked: Bool, bias: [Float]?) throws
        -> [Float]
    {
        let backend = CPUBackend(table: table, pool: pool, arena: try Arena(byteCount: 1 << 20))
        var input = input
        var output = [Float](repeating: .nan, count: tokens * rows)
        input.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            let activations = Activations(elements: base, tokenCount: tokens, width: columns)
            let isInteger = weight.format.groups != nil
            let form =
                !blocked
                ? nil
                : isInteger
                    ? backend.quantize(activations, block: weight.block)
                    : backend.round(activations, block: weight.block)
            backend.multiply(weight, by: activations, blocked: form, adding: bias, into: &output, outputStride: rows)
        }
        return output
    }
}

@Suite struct KernelTableTests {
    static let formats: [ComputeFormat] = [
        .float32, .float16, .bfloat16, .int8(WeightGroups(size: 32)),
        .int8(WeightGroups(size: 128, isSymmetric: false, scaleType: .float16)),
        .int4(WeightGroups(size: 32, scaleType: .bfloat16)), .int4(WeightGroups(size: 64, isSymmetric: false)),
        .int8(WeightGroups(size: 1 << 20, scaleType: .bfloat16)),
    ]

    /// Every table gives the reference's bits, for any number of workers and of tokens in a call.
    @Test(arguments: formats) func productsEqualTheReference(format: ComputeFormat) throws {
        var random = SeededGenerator(seed: testSeed)
        let pools = [WorkerPool(count: 1), WorkerPool(count: 2)]
        defer { pools.forEach { $0.stop() } }
        for (rows, columns, most, ends) in [
            (1, 32, 32, [32]), (16, 8, 8, [8]), (17, 256, 32, [32, 64, 96, 128, 160, 192, 224, 256]),
            (100, 200, 8, [24, 48, 80, 104, 128, 160, 184, 200]), (83, 171, 32, [32, 96, 96, 171]),
            (48, 640, 32, [320, 640]), (70, 744, 64, [192, 384, 576, 744]),
        ] {
            // A block divides a group, which starts at a multiple of 32 or 64 columns; inputs of floats have no more than 32.
            let block = (format.groups?.size ?? 32) % most == 0 ? most : 32
            for groupOffset in format.groups == nil ? [0] : [0, max(32, block)] {
                let product = try Product(
                    format: format, rows: rows, columns: columns, block: block, sliceEnds: ends,
                    groupOffset: groupOffset,
                    &random)
                let tokens = 53
                let input = random.floats(tokens * columns)
                let bias = random.floats(rows)
                for blocked in [.float32, .float16].contains(format) ? [false] : [false, true] {
                    let scalar = try #require(KernelTable.select("scalar"))
                    let reference = try product.run(
                        table: scalar, pool: pools[0], input: input, tokens: tokens, blocked: blocked, bias: bias)
                    expectNear(product, input, bias, reference, tokens: tokens, blocked: blocked)
                    for table in KernelTable.supported {
                        var expected = reference
                        if format == .bfloat16 && blocked && table.roundsInputs {
                            // The processor's own order: near the reference, and one answer within the table.
                            expected = try product.run(
                                table: table, pool: pools[0], input: input, tokens: tokens, blocked: true, bias: bias)
                            expectNear(product, input, bias, expected, tokens: tokens, blocked: blocked)
                        }
                        for pool in pools {
                            let all = try product.run(
                                table: table, pool: pool, input: input, tokens: tokens, blocked: blocked, bias: bias
                            )
                            #expect(
                                difference(all, expected) == nil,
                                "\(table.name) \(format) \(rows)x\(columns), \(pool.count) workers, seed \(testSeed)")
                            // One token, and too few for tiles of either kind: these have ways of their own.
                            for some in [2..<3, 4..<7, 1..<8, 0..<12] {
                                let few = try product.run(
                                    table: table, pool: pool,
                                    input: Array(input[some.lowerBound * columns..<some.upperBound * columns]),
                                    tokens: some.count, blocked: blocked, bias: bias)
                                #expect(
                                    difference(few, Array(expected[some.lowerBound * rows..<some.upperBound * rows]))
                                        == nil,
                                    "\(table.name) \(format) \(rows)x\(columns), tokens \(some), \(pool.count) workers")
                            }
                        }
                    }
                }
            }
        }
    }

    /// The reference against a plain definition in double precision.
    private func expectNear(
        _ product: Product, _ input: [Float], _ bias: [Float], _ output: [Float], tokens: Int, blocked: Bool
    ) {
        for token in [0, tokens - 1] {
            for row in 0..<product.rows {
                var sum = Double(bias[row])
                var magnitude = abs(sum)
                var weights = 0.0
                for column in 0..<product.columns {
                    let term =
                        Double(product.dense[row * product.columns + column])
                        * Double(input[token * product.columns + column])
                    sum += term
                    magnitude += abs(term)
                    weights += abs(Double(product.dense[row * product.columns + column]))
                }
                // Rounding of float32 sums is below n·2⁻²⁴ of the magnitude (n < 700); with zero points, of the sum of codes
                // too, some ten times that. Activations as codes are off by half a step: the largest input, 8, over 254;
                // rounded to bfloat16 by one part in 256.
                let rounding = product.weight.format == .bfloat16 ? magnitude / 256 : weights * 8 / 254
                let tolerance = magnitude * 5e-4 + 1e-5 + (blocked ? rounding : 0)
                let found = Double(output[token * product.rows + row])
                #expect(abs(found - sum) <= tolerance, "row \(row): \(found), expected \(sum), seed \(testSeed)")
            }
        }
    }

    /// Known codes: the largest value of a block is ±127, halves go to even, short blocks are padded.
    @Test func quantizesBlocks() throws {
        for table in KernelTable.supported {
            let backend = CPUBackend(table: table, pool: WorkerPool(count: 1), arena: try Arena(byteCount: 1 << 16))
            var values = [Float](repeating: 0, count: 40)
            values[0] = 127
            values[1] = 2.5
            values[2] = 3.5
            values[3] = -127
            values[32] = -1
            let codes = values.withUnsafeMutableBufferPointer { buffer in
                buffer.baseAddress.map {
                    backend.quantize(Activations(elements: $0, tokenCount: 1, width: 40), block: 32)
                }
            }
            let result = try #require(codes?.codes)
            #expect((0..<4).map { result.elements[$0] } == [127, 2, 4, -127])
            #expect((0..<2).map { result.corrections[$0] } == [-128 * 6, 128 * 127])
            #expect((0..<2).map { result.scales[$0] } == [1, 1 / 127])
            #expect((33..<64).allSatisfy { result.elements[$0] == 0 })
        }
    }

    @Test func normAndGateEqualTheReference() throws {
        var random = SeededGenerator(seed: testSeed)
        for columns in [1, 15, 16, 48, 100, 512] {
            let hidden = random.floats(3 * columns)
            let delta = random.floats(3 * columns)
            let weight = random.floats(columns)
            let gates = random.floats(3 * 2 * columns).map { $0 * 20 }
            var expected: ([Float], [Float], [Float])?
            for table in KernelTable.supported {
                let backend = CPUBackend(table: table, pool: WorkerPool(count: 1), arena: try Arena(byteCount: 1 << 18))
                let x = backend.makeActivations(tokenCount: 3, width: columns)
                let y = backend.makeActivations(tokenCount: 3, width: columns)
                let g = backend.makeActivations(tokenCount: 3, width: 2 * columns)
                for i in 0..<3 * columns { (x.elements[i], y.elements[i]) = (hidden[i], delta[i]) }
                for i in 0..<6 * columns { g.elements[i] = gates[i] }
                let normed = backend.normalize(x, adding: y, weight: weight, epsilon: 1e-5)
                let gated = backend.gate(g)
                let found = (Array(x.contiguous), Array(normed.contiguous), Array(gated.contiguous))
                if let expected {
                    #expect(difference(found.0, expected.0) == nil, "\(table.name) at \(columns)")
                    #expect(difference(found.1, expected.1) == nil, "\(table.name) at \(columns)")
                    #expect(difference(found.2, expected.2) == nil, "\(table.name) at \(columns)")
                } else {
                    expected = found
                    for token in 0..<3 {
                        let range = token * columns..<(token + 1) * columns
                        let sums = range.map { Double(hidden[$0]) + Double(delta[$0]) }
                        let root = (sums.reduce(0) { $0 + $1 * $1 } / Double(columns) + 1e-5).squareRoot()
                        for (offset, i) in range.enumerated() {
                            let exact = sums[offset] / root * Double(weight[offset])
                            #expect(abs(Double(found.1[i]) - exact) <= 1e-5 * abs(exact) + 1e-6)
                            let gate = Double(gates[token * 2 * columns + offset])
                            let up = Double(gates[token * 2 * columns + columns + offset])
                            let silu = gate / (1 + exponential(-gate)) * up
                            #expect(abs(Double(found.2[i]) - silu) <= 2e-6 * abs(silu) + 1e-6)
                        }
                    }
                }
            }
        }
    }
}

import CKernels
import Tensors
import TestSupport
import Testing
import TileStandIns

@testable import Kernels

@Suite struct KernelTableTests {
    /// AMX's layouts, loops and sums with plain C in place of its instructions.
    static let standIns = tile_stand_ins().map { [KernelTable($0, level: KernelTable.all.count)] } ?? []

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
        for (rows, run, ends) in [
            (1, 32, [32]), (16, 8, [8]), (17, 32, [32, 64, 96, 128, 160, 192, 224, 256]),
            (100, 8, [24, 48, 80, 104, 128, 160, 184, 200]), (83, 32, [32, 96, 96, 171]),
            (48, 32, [320, 640]), (70, 8, [192, 384, 576, 744]), (19, 4, [12, 20, 148, 161]), (18, 2, [6, 14, 20, 26]),
        ] {
            guard ends.allSatisfy({ $0 % format.step(run: run) == 0 || $0 == ends.last }) else { continue }
            let columns = ends[ends.count - 1]
            // A shard that starts inside a group, and inside what would be a block of 128.
            for offset in format.groups == nil ? [0] : [0, 40] {
                let product = try Product(
                    format: format, rows: rows, run: run, sliceEnds: ends, offset: offset, &random)
                // In small products, more than one group of tokens, of which the last one is not full.
                let tokens = rows < 50 ? 107 : 53
                let input = random.floats(tokens * columns)
                let bias = random.floats(rows)
                for blocked in [.float32, .float16].contains(format) ? [false] : [false, true] {
                    let scalar = try #require(KernelTable.select("scalar"))
                    let reference = try product.run(
                        table: scalar, pool: pools[0], input: input, tokens: tokens, blocked: blocked, bias: bias,
                        noting: true)
                    expectNear(product, reference, bias, tokens: tokens)
                    expectCodes(reference.input, of: product)
                    for table in KernelTable.supported + Self.standIns {
                        var expected = reference
                        if format == .bfloat16 && blocked && table.roundsInputs {
                            // The processor's own order: near the reference, and one answer within the table.
                            expected = try product.run(
                                table: table, pool: pools[0], input: input, tokens: tokens, blocked: true, bias: bias,
                                noting: true)
                            expectNear(product, expected, bias, tokens: tokens)
                        }
                        for pool in pools {
                            let all = try product.run(
                                table: table, pool: pool, input: input, tokens: tokens, blocked: blocked, bias: bias)
                            #expect(
                                difference(all.output, expected.output) == nil,
                                "\(table.name) \(format) \(rows)x\(columns), \(pool.count) workers, seed \(testSeed)")
                            // One token, and too few for tiles of either kind: these have ways of their own.
                            for some in [2..<3, 4..<7, 1..<8, 0..<12] {
                                let few = try product.run(
                                    table: table, pool: pool,
                                    input: Array(input[some.lowerBound * columns..<some.upperBound * columns]),
                                    tokens: some.count, blocked: blocked, bias: bias)
                                #expect(
                                    difference(
                                        few.output,
                                        Array(expected.output[some.lowerBound * rows..<some.upperBound * rows])) == nil,
                                    "\(table.name) \(format) \(rows)x\(columns), tokens \(some), \(pool.count) workers")
                            }
                        }
                    }
                }
            }
        }
    }

    /// Sizes that modules below the kernels need are written there, too.
    @Test func sizesAreThoseOfTheKernels() {
        #expect(KeyValueType.longestHead == Int(CK_MAX_HEAD))
        #expect(ComputeFormat.panelRows == Int(CK_LANES))
        #expect(InputBlock.longest == Int(CK_MAX_BLOCK))
    }

    /// Where the processor has tiles, plain C gives its bits: of bfloat16 too, whose sums are in the processor's own
    /// order.
    @Test func standInsEqualTheProcessor() throws {
        #expect(KernelTable.select("avx2") == nil || Self.standIns.count == 1)
        guard let tiles = KernelTable.select("amx"), let standIn = Self.standIns.first else { return }
        var random = SeededGenerator(seed: testSeed)
        let pool = WorkerPool(count: 1)
        defer { pool.stop() }
        for format in [ComputeFormat.bfloat16, .int4(WeightGroups(size: 64, isSymmetric: false))] {
            let product = try Product(
                format: format, rows: 83, run: 32, sliceEnds: [320, 640], offset: 0, &random)
            for tokens in [1, 16, 53] {
                // Numbers whose products are subnormal, too.
                let input = random.floats(tokens * 640).enumerated().map { $0 % 7 == 0 ? $1 * 0x1p-120 : $1 }
                let outcomes = try [tiles, standIn].map {
                    try product.run(
                        table: $0, pool: pool, input: input, tokens: tokens, blocked: true, bias: nil)
                }
                #expect(difference(outcomes[0].output, outcomes[1].output) == nil, "\(format), \(tokens) tokens")
            }
        }
    }

    /// The outcome against the definition, in double precision, of what the kernels read.
    private func expectNear(_ product: Product, _ outcome: Product.Outcome, _ bias: [Float], tokens: Int) {
        var worst = (share: 0.0, text: "")
        for token in [0, tokens / 2, tokens - 1] {
            for row in 0..<product.rows {
                let (exact, tolerance) = product.expected(token: token, row: row, input: outcome.input, bias: bias[row])
                let found = Double(outcome.output[token * product.rows + row])
                let share = abs(found - exact) / tolerance
                guard !(share <= worst.share) else { continue }
                worst = (share, "token \(token), row \(row): \(found), expected \(exact) within \(tolerance)")
            }
        }
        #expect(worst.share <= 1, "\(product.weight.format): \(worst.text), seed \(testSeed)")
    }

    /// Codes are the nearest to the values, the largest of a block is ±127, and its scale follows from it.
    private func expectCodes(_ input: Product.Input, of product: Product) {
        guard let codes = input.codes else { return }
        for (token, scales) in stride(from: 0, to: input.scales.count, by: product.blocks.count).enumerated() {
            for (index, block) in product.blocks.enumerated() {
                let first = token * product.columns
                let range = first + block.lowerBound..<first + block.upperBound
                let most = range.map { abs(input.values[$0]) }.max() ?? 0
                let scale = input.scales[scales + index]
                #expect(scale == most / 127)
                // Half a step, and the roundings of 127 / most, of its product and of the scale: 3 · 2⁻²⁴ of 127 steps.
                let isNear = range.allSatisfy {
                    abs(Double(input.values[$0]) - Double(codes[$0]) * Double(scale))
                        <= Double(scale) * (0.5 + 127 * 3 * 0x1p-24)
                }
                #expect(isNear && range.contains { abs(Int(codes[$0])) == 127 || most == 0 }, "seed \(testSeed)")
            }
        }
    }

    /// Known codes: the largest value of a block is ±127, halves go to even, the last block is padded.
    @Test func quantizesBlocks() throws {
        let weight = try PackedMatrix(
            format: .int4(WeightGroups(size: 32)), rows: 1, run: 32, sliceEnds: [34])
        for table in KernelTable.supported + Self.standIns {
            let backend = CPUBackend(table: table, pool: WorkerPool(count: 1), arena: try Arena(byteCount: 1 << 16))
            var values = [Float](repeating: 0, count: 34)
            values[0] = 127
            values[1] = 2.5
            values[2] = 3.5
            values[3] = -127
            values[32] = -1
            let codes = values.withUnsafeMutableBufferPointer { buffer in
                buffer.baseAddress.map {
                    backend.quantize(Activations(elements: $0, tokenCount: 1, width: 34), for: weight)
                }
            }
            let result = try #require(codes?.codes)
            #expect((0..<4).map { result.elements[$0] } == [127, 2, 4, -127])
            #expect((0..<2).map { result.corrections[$0] } == [-128 * 6, 128 * 127])
            #expect((0..<2).map { result.scales[$0] } == [1, 1 / 127])
            #expect((33..<40).allSatisfy { result.elements[$0] == 0 })
        }
    }
}

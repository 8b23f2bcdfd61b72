import CKernels
import Tensors
import TestSupport

@testable import Kernels

/// One matrix product: the packed weight, and what it was packed from.
struct Product {
    let weight: PackedMatrix
    let rows: Int
    let columns: Int
    let offset: Int
    /// The ranges of columns whose inputs lie together; with integer weights, each has a scale.
    let blocks: [Range<Int>]
    /// Float weights, row-major, as their format holds them; empty for integers.
    private(set) var floats: [Float] = []
    /// Codes of integer weights, row-major; scales and zero points `[row][group]`.
    private(set) var codes: [Int8] = []
    private(set) var scales: [Float] = []
    private(set) var zeros: [Float] = []

    init(
        format: ComputeFormat, rows: Int, run: Int, sliceEnds: [Int], offset: Int,
        _ random: inout SeededGenerator
    ) throws {
        weight = try PackedMatrix(format: format, rows: rows, run: run, sliceEnds: sliceEnds, offset: offset)
        columns = weight.columns
        let columns = columns
        self.rows = rows
        self.offset = offset
        blocks =
            format.groups.map { $0.inputBlocks(sliceEnds: sliceEnds, offset: offset).map(\.columns) }
            ?? stride(from: 0, to: columns, by: run).map { $0..<min($0 + run, columns) }
        for panel in 0..<weight.panelCount {
            let count = min(16, rows - panel * 16)
            guard let groups = format.groups else {
                let values = random.floats(count * columns).map { Self.stored($0, as: format) }
                weight.packFloats(panel: panel, rows: values, rowCount: count)
                floats += values
                continue
            }
            let bound: Int8 = if case .int8 = format { 127 } else { 7 }
            let some = (0..<count * columns).map { _ in Int8.random(in: -bound - 1...bound, using: &random) }
            let factors = (0..<count * weight.groupCount).map { _ in
                let scale = Float.random(in: 0.001...0.1, using: &random)
                return switch groups.scaleType {
                case .float16: Float(Float16(scale))
                case .bfloat16: Float(BFloat16(scale))
                default: scale
                }
            }
            let points = (0..<count * weight.groupCount).map { _ in
                weight.hasZeros ? Float(Int.random(in: -5...5, using: &random)) : 0
            }
            weight.packCodes(
                panel: panel, rows: some, scales: factors, zeros: weight.hasZeros ? points : nil, rowCount: count)
            codes += some
            scales += factors
            zeros += points
        }
    }

    private static func stored(_ value: Float, as format: ComputeFormat) -> Float {
        switch format {
        case .bfloat16: Float(BFloat16(value))
        case .float16: Float(Float16(value))
        case .float32, .int8, .int4: value
        }
    }

    /// The input of a product as the kernels read it.
    struct Input {
        let values: [Float]
        /// 8-bit codes `[token][column]`, and their scales `[token][block]`.
        var codes: [Int8]?
        var scales: [Float] = []
        /// Values rounded to bfloat16.
        var rounded: [Float]?
    }

    /// What a table made of a product.
    struct Outcome {
        let output: [Float]
        let input: Input
    }

    /// Multiplies, by the floats themselves or by the form of input that the weight's type has.
    ///
    /// - Parameter noting: whether the outcome also has the input in that form.
    func run(
        table: KernelTable, pool: WorkerPool, input: [Float], tokens: Int, blocked: Bool, bias: [Float]?,
        noting: Bool = false
    ) throws -> Outcome {
        let backend = CPUBackend(table: table, pool: pool, arena: try Arena(byteCount: 1 << 20))
        var read = Input(values: input)
        var input = input
        var output = [Float](repeating: .nan, count: tokens * rows)
        input.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            let activations = Activations(elements: base, tokenCount: tokens, width: columns)
            let form =
                !blocked
                ? nil
                : weight.format.groups != nil
                    ? backend.quantize(activations, for: weight)
                    : backend.round(activations, for: weight)
            backend.multiply(weight, by: activations, blocked: form, adding: bias, into: &output, outputStride: rows)
            if noting { read.note(form, tokens: tokens, of: self) }
        }
        return Outcome(output: output, input: read)
    }
}

extension Product.Input {
    /// Copies what a kernel made of the input, from `[group of tokens][block][tokens][columns of the block]` (`ck_input`).
    fileprivate mutating func note(_ form: BlockedActivations?, tokens: Int, of product: Product) {
        guard let form else { return }
        let padded = product.weight.paddedColumns
        let ends = product.blocks.dropFirst().map(\.lowerBound) + [padded]
        func group(of token: Int) -> (first: Int, count: Int) {
            let first = token / Int(CK_INPUT_TOKENS) * Int(CK_INPUT_TOKENS)
            return (first, min(Int(CK_INPUT_TOKENS), tokens - first))
        }
        let places = (0..<tokens).flatMap { token in
            let (first, count) = group(of: token)
            return zip(product.blocks, ends).flatMap { block, end in
                block.map {
                    first * padded + block.lowerBound * count + (token - first) * (end - block.lowerBound) + $0
                        - block.lowerBound
                }
            }
        }
        if let made = form.codes {
            codes = places.map { made.elements[$0] }
            scales = (0..<tokens).flatMap { token in
                let (first, count) = group(of: token)
                return product.blocks.indices.map {
                    made.scales[first * product.blocks.count + $0 * count + token - first]
                }
            }
        }
        if let made = form.rounded { rounded = places.map { Float(BFloat16(bitPattern: made[$0])) } }
    }
}

extension Product {
    /// An element of the output in double precision, from what the kernels read, and how far float32 sums may be from
    /// it.
    ///
    /// Each operation of the chain rounds once, by 2⁻²⁴ of what it adds up at most, so that n operations are off by
    /// n · 2⁻²⁴ times the sum of the terms' magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, 4.2).
    func expected(token: Int, row: Int, input: Input, bias: Float) -> (value: Double, tolerance: Double) {
        var sum = Double(bias)
        var magnitude = abs(sum)
        var operations = 0
        func add(_ term: Double, _ size: Double) {
            sum += term
            magnitude += size
        }
        if let groups = weight.format.groups {
            for (index, block) in blocks.enumerated() {
                for column in block {
                    let at = row * weight.groupCount + (column + offset % groups.size) / groups.size
                    let (scale, zero) = (Double(scales[at]), Double(zeros[at]))
                    let code = Double(codes[row * columns + column])
                    var x = Double(input.values[token * columns + column])
                    if let codes = input.codes {
                        x =
                            Double(codes[token * columns + column])
                            * Double(input.scales[token * blocks.count + index])
                    }
                    // Codes and zero points are added up apart.
                    add(scale * (code - zero) * x, scale * (abs(code) + abs(zero)) * abs(x))
                }
            }
            // A sum for each column or block; a zero point and a scale for each group, which slices may cut.
            operations = (input.codes == nil ? columns : blocks.count) + 2 * (weight.groupCount + 8)
        } else {
            let values = input.rounded ?? input.values
            for column in 0..<columns {
                let term = Double(floats[row * columns + column]) * Double(values[token * columns + column])
                add(term, abs(term))
            }
            operations = columns
        }
        // Eight slices add up in three levels; the bias comes last. Tiles add two sums a run of pairs.
        operations += 3 + 1 + blocks.count
        return (sum, Double(operations) * 0x1p-24 * magnitude + 1e-37)
    }
}

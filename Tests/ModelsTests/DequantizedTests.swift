import Architectures
import Checkpoints
import Models
import Quantization
import Tensors
import Testing
import Weights

/// A tiny model whose linear layers hold what integer weights stand for, as float32.
private struct DequantizedModel: RunModel {
    let base: TinyModel
    let scheme: IntegerScheme

    var description: String { base.description }

    func open() throws -> (decoder: DecoderConfiguration, names: TensorNames, weights: any WeightSource) {
        let model = try base.open()
        return (model.decoder, model.names, DequantizedWeights(base: model.weights, scheme: scheme))
    }
}

private struct DequantizedWeights: WeightSource {
    let base: any WeightSource
    let scheme: IntegerScheme

    var layoutDigest: UInt64 { base.layoutDigest }

    func contentDigest() throws -> UInt64 { try base.contentDigest() }

    func checkUnchanged() throws { try base.checkUnchanged() }

    func vector(_ parameter: Parameter) throws -> [Float] { try base.vector(parameter) }

    func matrix(_ parameter: Parameter) throws -> any MatrixSource {
        let matrix = try base.matrix(parameter)
        return parameter.isLinear ? DequantizedMatrix(base: try QuantizingSource(matrix, scheme: scheme)) : matrix
    }
}

/// An integer matrix that is presented as floats.
private struct DequantizedMatrix: MatrixSource {
    let base: QuantizingSource

    var name: String { base.name }
    var rows: Int { base.rows }
    var columns: Int { base.columns }
    var encoding: MatrixEncoding { .float(.float32) }

    func readFloats(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        base.readFloats(rows: rows, columns: columns, into: out)
    }

    func readCodes(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Int8>) {
        preconditionFailure("it has no codes")
    }

    func readScales(
        rows: Range<Int>, columns: Range<Int>, into scales: UnsafeMutablePointer<Float>,
        zeroPoints: UnsafeMutablePointer<Float>?
    ) {
        preconditionFailure("it has no scales")
    }

    func release(rows: Range<Int>) {}

    func checkUnchanged() throws(CheckpointError) {}
}

/// Integer weights with float activations give what the same weights give as float32.
@Suite struct DequantizedTests {
    @Test(arguments: TinyModel.all, [(bits: 8, isSymmetric: true), (bits: 4, isSymmetric: false)])
    func integersEqualTheirFloats(model: TinyModel, kind: (bits: Int, isSymmetric: Bool)) throws {
        let scheme = try IntegerScheme(bits: kind.bits, granularity: .group(32), isSymmetric: kind.isSymmetric)
        let text: [[TinyRun.Chunk]] = [[(0, 0, tinyText(40))]]
        var integers = TinyRun(model: model)
        integers.options = WeightOptions(floatType: .float32, quantization: .scheme(scheme), head: .asStored)
        integers.quantizesActivations = false
        let floats = TinyRun(model: DequantizedModel(base: model, scheme: scheme))
        let found = try integers.logits(text).flatMap { $0 }
        let expected = try floats.logits(text).flatMap { $0 }
        let spread = expected.reduce(0) { max($0, abs($1)) }
        let worst = zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
        // Sums of some hundred products are rounded in another order; every other kind of fault is far larger.
        #expect(
            found.count == expected.count && worst <= 1e-4 * max(1, spread), "\(model): off by \(worst) of \(spread)")
    }
}

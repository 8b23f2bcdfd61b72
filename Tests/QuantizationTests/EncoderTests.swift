import Checkpoints
import Tensors
import Testing

@testable import Quantization

@Suite struct EncoderTests {
    struct Encoded {
        let parameters: GroupParameters
        let codes: [Int8]
    }

    func encode(_ weights: [Float], _ scheme: IntegerScheme, scaleType: ElementType = .float32) throws -> Encoded? {
        let encoder = try IntegerEncoder(scheme: scheme, scaleType: scaleType)
        var range = WeightRange()
        range.add(weights, count: weights.count)
        guard let parameters = encoder.parameters(for: range) else { return nil }
        var codes = [Int8](repeating: 99, count: weights.count)
        encoder.encode(weights, count: weights.count, parameters, into: &codes)
        return Encoded(parameters: parameters, codes: codes)
    }

    func scheme(_ bits: Int, symmetric: Bool = true) throws -> IntegerScheme {
        try IntegerScheme(bits: bits, granularity: .channel, isSymmetric: symmetric)
    }

    @Test func knownCodes() throws {
        // s = 12.7 / 127 up to rounding; ties go to even codes.
        let int8 = try #require(try encode([127, -127, 0.5, 1.5, -2.5, 64.49], scheme(8)))
        #expect(int8.parameters == GroupParameters(scale: 1, zeroPoint: 0))
        #expect(int8.codes == [127, -127, 0, 2, -2, 64])
        let int4 = try #require(try encode([-14, 7, 3, 5, 1], scheme(4)))
        #expect(int4.parameters == GroupParameters(scale: 2, zeroPoint: 0))
        #expect(int4.codes == [-7, 4, 2, 2, 0])
        // Range -3...12: s = 1, zero point 3 of 0...15, stored less 8.
        let asymmetric = try #require(try encode([-3, 12, 0, 4.5], scheme(4, symmetric: false)))
        #expect(asymmetric.parameters == GroupParameters(scale: 1, zeroPoint: -5))
        #expect(asymmetric.codes == [-8, 7, -5, -1])
        // All weights above 0: the range still begins at 0.
        let positive = try #require(try encode([15, 30], scheme(4, symmetric: false)))
        #expect(positive.parameters == GroupParameters(scale: 2, zeroPoint: -8))
        #expect(positive.codes == [0, 7])
    }

    @Test func zerosAndTinyNumbers() throws {
        let tiny = Float.leastNonzeroMagnitude
        for weights: [Float] in [[0, 0, -0.0], [tiny, -tiny], [Float(bitPattern: 0x2CA), 0], [1e-20, -1e-21]] {
            for bits in [4, 8] {
                for symmetric in [true, false] {
                    for type in [ElementType.float32, .float16, .bfloat16] {
                        let encoded = try #require(
                            try encode(weights, scheme(bits, symmetric: symmetric), scaleType: type))
                        let scale = encoded.parameters.scale
                        #expect(scale > 0 && scale.isFinite)
                        for (weight, code) in zip(weights, encoded.codes) {
                            let value = scale * Float(Int32(code) - encoded.parameters.zeroPoint)
                            #expect(abs(weight - value) <= scale)
                        }
                    }
                }
            }
        }
    }

    @Test func notFinite() throws {
        for bad: Float in [.nan, -.nan, .infinity, -.infinity, .signalingNaN] {
            for position in 0..<9 {
                var weights: [Float] = [1, -2, 3, 4, 5, 6, -7, 8, 9]
                weights[position] = bad
                #expect(try encode(weights, scheme(8)) == nil)
                #expect(try encode(weights, scheme(4, symmetric: false)) == nil)
            }
        }
        let largest = Float.greatestFiniteMagnitude
        #expect(try encode([largest, -largest], scheme(8)) != nil)
        #expect(try encode([largest, -largest], scheme(4, symmetric: false)) == nil)
        #expect(try encode([largest], scheme(8), scaleType: .float16) == nil)
    }

    /// |w − ŵ| ≤ s / 2 whatever the type of the scale; the slack is for float32's own rounding of w / s and s · q,
    /// each at most 2^-24 of 255 codes.
    @Test(arguments: [4, 8], [true, false])
    func errorBound(bits: Int, symmetric: Bool) throws {
        var generator = SystemRandomNumberGenerator()
        for type in [ElementType.float32, .float16, .bfloat16] {
            for round in 0..<200 {
                let magnitude = Float(1 << (round % 12)) / 64
                let low: Float = round.isMultiple(of: 3) ? 0 : -magnitude
                let weights = (0..<64).map { _ in Float.random(in: low...magnitude, using: &generator) }
                let encoded = try #require(try encode(weights, scheme(bits, symmetric: symmetric), scaleType: type))
                let scale = encoded.parameters.scale
                for (weight, code) in zip(weights, encoded.codes) {
                    let value = scale * Float(Int32(code) - encoded.parameters.zeroPoint)
                    #expect(
                        abs(weight - value) <= scale * 0.50005, "\(weight) became \(value), scale \(scale), \(type)")
                }
            }
        }
    }

    /// The scale is exact in its type, so that readers of the file see the scale that made the codes.
    @Test func scalesFitTheirType() throws {
        for index in 1..<200 {
            let weights = [Float(index) * 0.0137, -0.001]
            for symmetric in [true, false] {
                let half = try #require(try encode(weights, scheme(4, symmetric: symmetric), scaleType: .float16))
                #expect(Float(Float16(half.parameters.scale)) == half.parameters.scale)
                let brain = try #require(try encode(weights, scheme(8, symmetric: symmetric), scaleType: .bfloat16))
                #expect(Float(BFloat16(brain.parameters.scale)) == brain.parameters.scale)
            }
        }
    }

    @Test func badSchemes() {
        #expect(throws: QuantizationError.self) { try IntegerScheme(bits: 3, granularity: .channel) }
        #expect(throws: QuantizationError.self) { try IntegerScheme(bits: 4, granularity: .group(0)) }
        #expect(throws: QuantizationError.self) {
            try IntegerEncoder(scheme: IntegerScheme(bits: 4, granularity: .channel), scaleType: .float64)
        }
    }
}

import Tensors
import TestSupport
import Testing

@Suite struct BFloat16Tests {
    @Test func everyPatternRoundTrips() {
        var failures: [UInt16] = []
        for pattern in UInt16.min...UInt16.max {
            let value = Float(BFloat16(bitPattern: pattern))
            let back = BFloat16(value)
            // A signalling NaN comes back quiet.
            let expected = value.isNaN ? pattern | 0x0040 : pattern
            if back.bitPattern != expected { failures.append(pattern) }
        }
        #expect(failures.isEmpty, "\(failures.count), first \(failures.prefix(3))")
    }

    @Test func everyFiniteFloatGoesToTheNearestTiesToEven() {
        // Around both ends and the middle of the step to the next value, and anywhere in it.
        var generator = SeededGenerator(seed: testSeed)
        var failures: [Float] = []
        for upper in UInt32(0)...0xFFFF where upper & 0x7F80 != 0x7F80 {
            let anywhere = UInt32.random(in: 0...0xFFFF, using: &generator)
            for lower in [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF, anywhere] {
                let value = Float(bitPattern: upper << 16 | lower)
                if BFloat16(value).bitPattern != nearest(value) { failures.append(value) }
            }
        }
        #expect(failures.isEmpty, "\(failures.count), first \(failures.prefix(3)), seed \(testSeed)")
    }

    @Test func specialValues() {
        #expect(BFloat16(1).bitPattern == 0x3F80)
        #expect(BFloat16(-0.0).bitPattern == 0x8000)
        #expect(BFloat16(.infinity).bitPattern == 0x7F80)
        #expect(BFloat16(-.infinity).bitPattern == 0xFF80)
        #expect(BFloat16(.greatestFiniteMagnitude).bitPattern == 0x7F80)
        // 1 + 2^-8 is half way between 1 and 1 + 2^-7, 1 + 3 · 2^-8 half way to the next.
        #expect(Float(BFloat16(1 + 0x1p-8)) == 1)
        #expect(Float(BFloat16(1 + 0x3p-8)) == 1 + 0x1p-6)
        // A NaN whose payload lies in the lower half must not become an infinity.
        #expect(Float(BFloat16(Float(bitPattern: 0x7F80_0001))).isNaN)
        #expect(Float(BFloat16(Float(bitPattern: 0xFF80_0001))).isNaN)
    }

    /// The definition, slowly: the closer of two neighbours, measured in `Double`; of equally close ones the even pattern.
    private func nearest(_ value: Float) -> UInt16 {
        func magnitude(_ pattern: UInt16) -> Double {
            // What would come after the largest finite value, if it were not infinity.
            pattern == 0x7F80 ? 0x1p128 : Double(Float(bitPattern: UInt32(pattern) << 16))
        }
        let sign: UInt16 = value.sign == .minus ? 0x8000 : 0
        let below = UInt16(value.magnitude.bitPattern >> 16)
        let toBelow = Double(value.magnitude) - magnitude(below)
        let toAbove = magnitude(below + 1) - Double(value.magnitude)
        if toBelow == toAbove { return sign | (below % 2 == 0 ? below : below + 1) }
        return sign | (toBelow < toAbove ? below : below + 1)
    }
}

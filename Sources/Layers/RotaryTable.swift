import Architectures
import Glibc

/// The angles of a rotary embedding, as cosines and sines of the positions of a step.
public struct RotaryTable: Sendable {
    /// The angle per position of each pair.
    let frequencies: [Float]
    let amplitude: Float

    /// - Parameter rotation: nil: nothing is rotated, and rows of angles are empty.
    public init(_ rotation: Rotation?, maximumLength: Int) {
        frequencies =
            rotation.map { $0.embedding.frequencies(dimension: $0.dimension, maximumLength: maximumLength) } ?? []
        amplitude = rotation?.embedding.amplitude ?? 1
    }

    /// Pairs of a head.
    public var pairCount: Int { frequencies.count }

    /// Writes one position's row: `pairCount` cosines and sines.
    public func fill(position: Int, cosines: UnsafeMutablePointer<Float>, sines: UnsafeMutablePointer<Float>) {
        for (pair, frequency) in frequencies.enumerated() {
            // The product is rounded to float32, as the reference does it, before the angle is taken.
            let angle = Float(position) * frequency
            cosines[pair] = cosf(angle) * amplitude
            sines[pair] = sinf(angle) * amplitude
        }
    }
}

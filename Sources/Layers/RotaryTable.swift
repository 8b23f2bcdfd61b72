import Architectures
import Glibc

/// Computes the cosines and sines of a rotary embedding for the positions of a step.
public struct RotaryTable: Sendable {
    /// The angle per position of each pair of features, in radians.
    let frequencies: [Float]
    let amplitude: Float

    /// - Parameter rotation: the rotation; nil: nothing is rotated, and rows of angles are empty.
    public init(_ rotation: Rotation?, maximumLength: Int) {
        frequencies =
            rotation.map { $0.embedding.frequencies(dimension: $0.dimension, maximumLength: maximumLength) } ?? []
        amplitude = rotation?.embedding.amplitude ?? 1
    }

    /// The number of rotated pairs per head.
    public var pairCount: Int { frequencies.count }

    /// Writes one position's row: `pairCount` cosines and sines.
    public func fill(position: Int, cosines: UnsafeMutablePointer<Float>, sines: UnsafeMutablePointer<Float>) {
        for (pair, frequency) in frequencies.enumerated() {
            // Like the reference, round the product to float32 before taking cosine and sine.
            let angle = Float(position) * frequency
            cosines[pair] = cosf(angle) * amplitude
            sines[pair] = sinf(angle) * amplitude
        }
    }
}

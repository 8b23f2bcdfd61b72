import Architectures
import Glibc
import Kernels

/// Computes the cosines and sines of a rotary embedding for the positions of a step.
public final class RotaryTable: @unchecked Sendable {
    // Sendable: only the rank's own thread fills rows.
    private let rotation: Rotation?
    /// The number of rotated pairs per head.
    public let pairCount: Int
    /// The angle per position of each pair of features, in radians, for prompts of the length class below.
    private var frequencies: [Float] = []
    private var lengthClass = 0

    /// - Parameter rotation: the rotation; nil: nothing is rotated, and rows of angles are empty.
    public init(_ rotation: Rotation?) {
        self.rotation = rotation
        pairCount = (rotation?.dimension ?? 0) / 2
        if let rotation { frequencies = rotation.embedding.frequencies(dimension: rotation.dimension, lengthClass: 0) }
    }

    /// Writes rows of `pairCount` cosines and sines for consecutive positions of one sequence.
    ///
    /// - Parameters:
    ///   - angles: the rows of all tokens of a step, of which the first to write is `firstRow`.
    ///   - promptLength: the length of the sequence's prompt, on which the angles of some families depend.
    public func fill(_ angles: Angles, firstRow: Int, positions: Range<Int>, promptLength: Int) {
        guard let rotation, let cosines = angles.cosines, let sines = angles.sines else { return }
        let wanted = rotation.embedding.lengthClass(promptLength: promptLength)
        if wanted != lengthClass {
            frequencies = rotation.embedding.frequencies(dimension: rotation.dimension, lengthClass: wanted)
            lengthClass = wanted
        }
        let amplitude = rotation.embedding.amplitude
        var row = firstRow * pairCount
        for position in positions {
            for (pair, frequency) in frequencies.enumerated() {
                // Like the reference, round the product to float32 before taking cosine and sine.
                let angle = Float(position) * frequency
                cosines[row + pair] = cosf(angle) * amplitude
                sines[row + pair] = sinf(angle) * amplitude
            }
            row += pairCount
        }
    }
}

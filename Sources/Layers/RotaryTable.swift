import Architectures
import Glibc
import Kernels

/// Computes the cosines and sines of a rotary embedding for the positions of a step.
public final class RotaryTable: @unchecked Sendable {
    // Sendable: only the rank's own thread fills rows.
    private let rotation: Rotation?
    /// The number of rotated pairs per head.
    public let pairCount: Int
    /// The angle per position of each pair of features, in radians, by the class of the prompt's length.
    private var frequencies: [Int: [Float]] = [:]
    /// Classes that are kept: some families have one for each length.
    private static let mostClasses = 256

    /// - Parameter rotation: the rotation; nil: nothing is rotated, and rows of angles are empty.
    public init(_ rotation: Rotation?) {
        self.rotation = rotation
        pairCount = (rotation?.dimension ?? 0) / 2
        if let rotation { frequencies[0] = Self.frequencies(rotation, lengthClass: 0) }
    }

    /// Writes rows of `pairCount` cosines and sines for consecutive positions of one sequence.
    ///
    /// - Parameters:
    ///   - angles: the rows of all tokens of a step, of which the first to write is `firstRow`.
    ///   - promptLength: the length of the sequence's prompt, on which the angles of some families depend.
    public func fill(_ angles: Angles, firstRow: Int, positions: Range<Int>, promptLength: Int) {
        guard let rotation, let cosines = angles.cosines, let sines = angles.sines else { return }
        let lengthClass = rotation.embedding.lengthClass(promptLength: promptLength)
        let known = frequencies[lengthClass]
        let frequencies = known ?? Self.frequencies(rotation, lengthClass: lengthClass)
        if known == nil {
            if self.frequencies.count == Self.mostClasses { self.frequencies.removeAll() }
            self.frequencies[lengthClass] = frequencies
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

    private static func frequencies(_ rotation: Rotation, lengthClass: Int) -> [Float] {
        rotation.embedding.frequencies(dimension: rotation.dimension, lengthClass: lengthClass)
    }
}

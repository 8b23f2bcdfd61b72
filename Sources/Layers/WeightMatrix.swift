import Kernels
import Tensors

/// The weight of a linear layer on this rank: one packed matrix, or several stacked by rows if their formats differ.
public struct WeightMatrix: Sendable {
    /// Consecutive rows that share a format.
    public struct Segment: Sendable {
        public let matrix: PackedMatrix
        public let firstRow: Int

        public init(matrix: PackedMatrix, firstRow: Int) {
            self.matrix = matrix
            self.firstRow = firstRow
        }
    }

    public let segments: [Segment]
    /// Output features on this rank.
    public let rows: Int
    /// Input features on this rank.
    public let columns: Int

    public init(segments: [Segment]) {
        self.segments = segments
        rows = segments.reduce(0) { $0 + $1.matrix.rows }
        columns = segments.first?.matrix.columns ?? 0
    }

    /// The number of bytes of the packed matrices.
    public var byteCount: Int { segments.reduce(0) { $0 + $1.matrix.byteCount } }
}

/// A float32 vector that a layer keeps, such as a bias or a norm's weight.
public final class Vector: @unchecked Sendable {
    // Sendable: never written after `init`.
    let elements: UnsafeMutablePointer<Float>
    public let count: Int

    public init(_ values: [Float]) {
        count = values.count
        elements = .allocate(capacity: max(1, values.count))
        elements.initialize(from: values, count: values.count)
    }

    deinit {
        elements.deallocate()
    }

    /// The number of bytes of the elements.
    public var byteCount: Int { count * MemoryLayout<Float>.size }
}

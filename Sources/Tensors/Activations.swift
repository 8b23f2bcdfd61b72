/// Rows of float32 in the step's arena: one row for each token, or each token that samples.
public struct Activations {
    /// The first element of the first row.
    public let elements: UnsafeMutablePointer<Float>
    /// Rows.
    public let tokenCount: Int
    /// Elements of a row.
    public let width: Int
    /// Elements from one row to the next.
    public let stride: Int

    public init(elements: UnsafeMutablePointer<Float>, tokenCount: Int, width: Int, stride: Int? = nil) {
        self.elements = elements
        self.tokenCount = tokenCount
        self.width = width
        self.stride = stride ?? width
    }

    /// All elements of rows that lie without gaps, as collectives want them.
    public var contiguous: UnsafeMutableBufferPointer<Float> {
        precondition(stride == width || tokenCount <= 1, "rows have gaps")
        return UnsafeMutableBufferPointer(start: elements, count: tokenCount * width)
    }
}

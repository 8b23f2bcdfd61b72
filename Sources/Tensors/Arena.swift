/// Memory for one step's activations: a pointer that moves forward, and back to the start with the next step.
///
/// Code reads as if values were returned; the steady state allocates nothing.
public final class Arena {
    private let buffer: AlignedBuffer
    private var used = 0

    /// Bytes in all.
    public var capacity: Int { buffer.byteCount }
    /// The most bytes that a step has taken so far.
    public private(set) var highWaterMark = 0

    public init(byteCount: Int) throws(MemoryError) {
        buffer = try AlignedBuffer(byteCount: byteCount)
    }

    /// Makes all of it resident, so that running out of memory shows before the first step.
    public func touch() {
        buffer.touch()
    }

    /// Uninitialised room for `count` elements, aligned to 64 bytes, until `reset` or `rewind`.
    ///
    /// Running out is a defect of the plan's arithmetic (`StepLimits`), not of the input.
    public func take<Element>(_ count: Int, of type: Element.Type = Element.self) -> UnsafeMutablePointer<Element> {
        let byteCount = Arena.roundedUp(count * MemoryLayout<Element>.stride)
        precondition(used + byteCount <= buffer.byteCount, "the step's arena is too small")
        let pointer = (buffer.baseAddress + used).assumingMemoryBound(to: Element.self)
        used += byteCount
        highWaterMark = max(highWaterMark, used)
        return pointer
    }

    /// A place to come back to with `rewind`.
    public var mark: Int { used }

    /// Frees what was taken since `mark`.
    public func rewind(to mark: Int) {
        used = mark
    }

    /// Frees everything: a new step begins.
    public func reset() {
        used = 0
    }

    /// How many bytes `take` uses up for this number of bytes.
    public static func roundedUp(_ byteCount: Int) -> Int { (byteCount + 63) / 64 * 64 }
}

/// What one rendering may take; more is an error, because a template comes from a file that nobody checked.
public struct RenderLimits: Equatable, Sendable {
    /// The number of expressions and statements that are evaluated.
    public var steps = 10_000_000
    /// The work of all operations: the characters that they read or make, and four for each element of a list.
    ///
    /// Memory in use is at most four bytes for each, if a template keeps everything that it makes.
    public var work = 1 << 27
    /// The length of the output, or of one value in the same units.
    public var size = 1 << 24
    /// How deeply calls, blocks and expressions may be nested while they are evaluated.
    ///
    /// A level takes up to 3 KiB of the stack.
    public var depth = 500

    public init() {}
}

/// The limits of every template.
enum FixedLimits {
    /// The characters of a template; the longest published ones have about 30,000.
    static let source = 1 << 20
    /// The characters of a name.
    static let name = 1000
    /// How deeply statements and expressions may be nested in a template; Python allows about 70 parentheses.
    static let nesting = 100
    /// How deeply lists and other containers may be nested in one value.
    static let valueDepth = 200
    /// The elements of a `range`, as in Jinja's sandbox.
    static let range = 100_000
}

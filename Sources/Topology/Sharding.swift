/// How a parameter is divided among the ranks of a tensor group.
public enum Sharding: Equatable, Sendable {
    /// Every rank holds all of it.
    case replicated
    /// Each rank holds some output features: rows of the matrix.
    case column
    /// Each rank holds the output features of some whole attention heads.
    case heads(HeadKind)
    /// Each rank holds some input features: columns of the matrix.
    case row
    /// Each rank holds some rows of an embedding or an output head.
    case vocabulary
    /// Each rank holds an equal part of the elements, regardless of their structure.
    case even

    /// Which heads the rows belong to.
    public enum HeadKind: Equatable, Sendable {
        case query
        case keyValue
    }
}

/// How a parameter is divided among the ranks of a tensor group.
public enum Sharding: Equatable, Sendable {
    /// Every rank holds all of it.
    case replicated
    /// Output features: rows of the matrix.
    case column
    /// Output features, by whole attention heads.
    case heads(HeadKind)
    /// Input features: columns of the matrix.
    case row
    /// Rows of an embedding or an output head.
    case vocabulary
    /// Equal parts, whatever they are.
    case even

    /// Which heads the rows belong to.
    public enum HeadKind: Equatable, Sendable {
        case query
        case keyValue
    }
}

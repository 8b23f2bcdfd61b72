/// What a rank can ask of a communicator: the one list that errors, message tags, comparisons and shared memory go by.
///
/// The numbers travel between ranks. Those of operations in shared memory are the C module's as well, which a test holds
/// equal.
public enum CollectiveOperation: Int32, CaseIterable, Sendable {
    case barrier = 1
    case allReduce = 2
    case reduceScatter = 3
    case allGather = 4
    case gather = 5
    case broadcast = 6
    case allToAll = 7
    case split = 8
    /// From one rank to another: not collective, but named in the same errors.
    case send = 9
    /// The other side of `send`.
    case receive = 10

    /// Whether no rank can complete it before every rank has come.
    ///
    /// Then a rank that is not waiting in it is to blame for a timeout. In other operations a rank may have done its part and
    /// gone on.
    package var needsEveryRank: Bool {
        switch self {
        case .barrier, .allReduce, .reduceScatter, .allGather, .allToAll, .split: true
        case .gather, .broadcast, .send, .receive: false
        }
    }

    /// The tag of its messages, above those that callers may use.
    ///
    /// One for each operation is enough: messages between two ranks keep their order, and every rank calls the same
    /// operations in the same order. A `send` travels with its caller's tag.
    package var tag: Int32 { MessageTag.allowed.upperBound + rawValue }
}

/// What a rank asks for, in the words of an error that names ranks which ask for different things.
///
/// Of what does not matter to the operation nothing is said. Numbers, because that is how wishes travel.
package struct CollectiveWish: CustomStringConvertible {
    package var operation: Int32
    package var byteCount: Int
    /// The rank that sends, receives or keeps, where there is one.
    package var root: Int
    package var type: Int32
    package var reduction: Int32
    /// A digest of all ranks' sizes, where it was compared.
    package var sizes: UInt64?

    package init(
        operation: Int32, byteCount: Int, root: Int, type: Int32, reduction: Int32, sizes: UInt64? = nil
    ) {
        self.operation = operation
        self.byteCount = byteCount
        self.root = root
        self.type = type
        self.reduction = reduction
        self.sizes = sizes
    }

    package var description: String {
        let size = "of \(byteCount) bytes"
        guard let operation = CollectiveOperation(rawValue: operation) else { return "operation \(operation) \(size)" }
        switch operation {
        case .barrier, .split: return "\(operation)"
        case .allReduce, .reduceScatter:
            let reduction = Reduction(rawValue: reduction).map { "\($0)" } ?? "unknown"
            let type = ReducedType(rawValue: type).map { "\($0)" } ?? "unknown elements"
            return "\(operation) (\(reduction)) \(size) of \(type)"
        case .allGather, .allToAll: return "\(operation) \(size)"
        case .gather:
            let sizes = sizes.map { " (sizes' digest \(String($0, radix: 16)))" } ?? ""
            return "\(operation) \(size)\(sizes) to rank \(root)"
        case .broadcast: return "\(operation) \(size) from rank \(root)"
        case .send, .receive: return "a message \(size) to rank \(root)"
        }
    }
}

/// An operation of a communicator; the only list of them, for errors, message tags, comparisons and shared memory.
///
/// The numbers travel between ranks. CCollectives uses the same numbers for the operations that shared memory has; a
/// test compares the two lists.
public enum CollectiveOperation: Int32, CaseIterable, Sendable {
    case barrier = 1
    case allReduce = 2
    case reduceScatter = 3
    case allGather = 4
    case gather = 5
    case broadcast = 6
    case allToAll = 7
    case split = 8
    /// A message to one other rank: not collective, but the same errors name it.
    case send = 9
    /// Waits for what another rank sends.
    case receive = 10

    /// Whether no rank can complete the operation before every rank has entered it.
    ///
    /// If it holds, a rank that is not waiting at a timeout is to blame. In other operations such a rank may have done
    /// its part and gone on.
    package var needsEveryRank: Bool {
        switch self {
        case .barrier, .allReduce, .reduceScatter, .allGather, .allToAll, .split: true
        case .gather, .broadcast, .send, .receive: false
        }
    }

    /// The tag of the operation's messages, above the tags that callers may use.
    ///
    /// One tag for each operation is enough, because messages between two ranks keep their order and every rank calls
    /// the same operations in the same order. Messages of `send` carry their caller's tag instead.
    package var tag: Int32 { MessageTag.allowed.upperBound + rawValue }
}

/// What a rank asks for, described for the error that names ranks which ask for different things.
///
/// The description leaves out what does not matter to the operation. The fields are the numbers that ranks exchange,
/// because a number of another rank may have no meaning here.
package struct CollectiveWish: CustomStringConvertible {
    package var operation: Int32
    package var byteCount: Int
    /// The root of a gather or a broadcast, or the receiver of a message.
    package var root: Int
    package var type: Int32
    package var reduction: Int32
    /// A digest of the sizes of all ranks' parts of a gather, if it was compared.
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

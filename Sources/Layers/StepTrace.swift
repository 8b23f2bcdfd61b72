import Collectives
import Glibc

/// The kinds of operations in a step.
public enum OperationKind: String, CaseIterable, Sendable {
    /// A product with a weight.
    case product
    case attention
    /// Norms, activations, rotations and additions.
    case elementwise
    case embedding
    case allReduce = "all-reduce"
    /// The step's message, hidden states between stages, and logits.
    case exchange
    /// The choice of tokens from logits, on rank 0.
    case sampling
}

/// The description of an operation in a step, for traces.
public struct TracedOperation: Sendable {
    public let name: StaticString
    /// The kind; nil for an operation that consists of others.
    public let kind: OperationKind?
    /// The layer that the operation belongs to; nil: none.
    public let layer: Int?
    /// Rows and columns of the weight, or of the activations.
    public let rows: Int
    public let columns: Int
    /// Bytes of weights or cache that are read, or bytes that are exchanged.
    public let byteCount: Int
    /// Multiplications and additions.
    public let operationCount: Int

    public init(
        _ name: StaticString, _ kind: OperationKind?, layer: Int? = nil, rows: Int = 0, columns: Int = 0,
        byteCount: Int = 0, operationCount: Int = 0
    ) {
        self.name = name
        self.kind = kind
        self.layer = layer
        self.rows = rows
        self.columns = columns
        self.byteCount = byteCount
        self.operationCount = operationCount
    }
}

/// A record of the operations of one step on one rank.
public final class StepTrace {
    /// An operation, and when it ran, in nanoseconds of the monotonic clock.
    public struct Entry: Sendable {
        public let operation: TracedOperation
        public let start: Int64
        public let duration: Int64
        /// The part of the duration in which the rank waited for others to come; 0 for operations without them.
        public let wait: Int64

        public init(_ operation: TracedOperation, start: Int64, duration: Int64, wait: Int64 = 0) {
            self.operation = operation
            self.start = start
            self.duration = duration
            self.wait = wait
        }
    }

    /// The operations in the order of their ends: those inside another one come before it.
    public private(set) var entries: [Entry] = []

    /// Whether the step computes prompts, and not only tokens that were drawn.
    public let isPrefill: Bool

    /// - Parameter capacity: the number of entries for which there is room at once, so that the step does not wait for
    ///   memory; the number of the step before is a good one.
    public init(isPrefill: Bool, capacity: Int) {
        self.isPrefill = isPrefill
        entries.reserveCapacity(capacity)
    }

    /// Records an operation that ran from `start` until now.
    ///
    /// - Parameter wait: the part of that time in which the rank waited for others.
    public func add(_ operation: TracedOperation, since start: Int64, wait: Int64 = 0) {
        entries.append(Entry(operation, start: start, duration: Self.now() - start, wait: wait))
    }

    /// Reads the monotonic clock, in nanoseconds.
    public static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

extension Step {
    /// Runs an operation, and records it if this step is traced.
    ///
    /// - Parameters:
    ///   - operation: the description, which is made only if this step is traced.
    ///   - group: the ranks with which the operation exchanges data; nil: none.
    public func traced<Result, Failure: Error>(
        _ operation: @autoclosure () -> TracedOperation, with group: (any Communicator)? = nil,
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard let trace else { return try body() }
        let waited = group?.times.wait
        let start = StepTrace.now()
        let result = try body()
        let wait = if let group, let waited { (group.times.wait - waited).nanoseconds } else { Int64(0) }
        trace.add(operation(), since: start, wait: wait)
        return result
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}

import Glibc

/// Divides the time of one communicator's operations into waiting and moving.
///
/// It reads the monotonic clock, which takes about 20 ns; the shortest operation takes 200.
package struct OperationClock {
    private var waited: Int64 = 0
    private var moved: Int64 = 0
    private var mark: Int64 = 0
    private var byteCount = 0
    private var operationCount = 0

    package init() {}

    /// Reads the monotonic clock, in nanoseconds.
    package static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }

    /// Starts an operation.
    package mutating func start() {
        mark = Self.now()
    }

    /// Counts the time since the last reading as waiting.
    package mutating func addWait() {
        let now = Self.now()
        waited &+= now &- mark
        mark = now
    }

    /// Counts the time since the last reading as moving bytes.
    package mutating func addTransfer() {
        let now = Self.now()
        moved &+= now &- mark
        mark = now
    }

    /// Counts the time since the last reading as waiting until `arrival`, and from then on as moving bytes.
    package mutating func addWait(until arrival: Int64) {
        let now = Self.now()
        let waiting = max(0, min(arrival, now) &- mark)
        waited &+= waiting
        moved &+= now &- mark &- waiting
        mark = now
    }

    /// Ends an operation; the time since the last reading counts as moving bytes.
    package mutating func finish(byteCount: Int) {
        addTransfer()
        count(byteCount: byteCount)
    }

    /// Counts an operation without times, because they are measured elsewhere or not at all.
    package mutating func count(byteCount: Int) {
        self.byteCount &+= byteCount
        operationCount &+= 1
    }

    /// Adds times in nanoseconds that were measured elsewhere.
    package mutating func add(wait: Int64, transfer: Int64) {
        waited &+= wait
        moved &+= transfer
    }

    package var times: CommunicationTimes {
        CommunicationTimes(
            wait: .nanoseconds(waited), transfer: .nanoseconds(moved), byteCount: byteCount,
            operationCount: operationCount)
    }
}

extension Duration {
    /// The duration in whole nanoseconds, limited to what an `Int64` can hold.
    package var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? (seconds < 0 ? .min : .max) / 2 : product + attoseconds / 1_000_000_000
    }
}

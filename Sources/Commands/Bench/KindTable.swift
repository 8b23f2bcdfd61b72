import Bootstrap
import Layers

/// The limits of the hardware that are a rank's share.
struct Roof {
    let bytesPerSecond: Double
    let operationsPerSecond: Double

    /// The least seconds in which the hardware could do an operation: the longer of reading and computing.
    func leastSeconds(_ operation: TracedOperation) -> Double {
        max(Double(operation.byteCount) / bytesPerSecond, Double(operation.operationCount) / operationsPerSecond)
    }
}

/// The time that traced steps spend on each kind of operation, beside the limits.
struct KindTable {
    /// The sums of one kind of operation.
    struct Row {
        /// The kind; nil for the time between operations.
        let kind: OperationKind?
        var calls = 0
        var seconds = 0.0
        var waitSeconds = 0.0
        var bytes = 0.0
        var operations = 0.0
        /// The least time that the hardware needs for products and attention.
        var leastSeconds = 0.0
    }

    let stepCount: Int
    let stepSeconds: Double
    let rows: [Row]

    init(_ steps: [TracedStep], roof: Roof) {
        var rows = OperationKind.allCases.map { Row(kind: $0) }
        var total = 0.0
        for step in steps {
            total += Double(step.whole?.duration ?? 0) * 1e-9
            for entry in step.entries {
                guard let kind = entry.operation.kind, let index = rows.firstIndex(where: { $0.kind == kind }) else {
                    continue
                }
                rows[index].calls += 1
                rows[index].seconds += Double(entry.duration) * 1e-9
                rows[index].waitSeconds += Double(entry.wait) * 1e-9
                rows[index].bytes += Double(entry.operation.byteCount)
                rows[index].operations += Double(entry.operation.operationCount)
                if kind == .product || kind == .attention {
                    rows[index].leastSeconds += roof.leastSeconds(entry.operation)
                }
            }
        }
        var between = Row(kind: nil)
        between.seconds = total - rows.reduce(0) { $0 + $1.seconds }
        stepCount = steps.count
        stepSeconds = total
        self.rows = rows.filter { $0.calls > 0 } + [between]
    }

    /// The table, a line for each kind: times are those of an average step.
    var text: String {
        let count = Double(max(1, stepCount))
        var text = columns(["kind", "calls", "ms", "share", "wait ms", "GB/s", "Gop/s", "of roof"]) + "\n"
        for row in rows {
            text += columns([
                row.kind?.rawValue ?? "between", row.calls == 0 ? "" : rounded(Double(row.calls) / count),
                rounded(row.seconds / count * 1e3, digits: 1000), percent(row.seconds / stepSeconds),
                row.waitSeconds > 0 ? rounded(row.waitSeconds / count * 1e3, digits: 1000) : "",
                row.bytes > 0 ? rounded(row.bytes / row.seconds / 1e9) : "",
                row.operations > 0 ? rounded(row.operations / row.seconds / 1e9) : "",
                row.leastSeconds > 0 ? percent(row.leastSeconds / row.seconds) : "",
            ])
            text += "\n"
        }
        return text + columns(["step", "", rounded(stepSeconds / count * 1e3, digits: 1000), "100 %"]) + "\n"
    }
}

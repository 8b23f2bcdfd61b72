import Checkpoints
import Synchronization
import Tensors

/// A float matrix that is presented as an integer one: it is encoded strip by strip while it is read.
///
/// Reading part of a row gives the same codes as reading all of it: groups are counted from the start of the row, and a
/// group that straddles an end of the part is measured whole. Reading cannot throw, so weights that are not finite give
/// codes 0 with the scale NaN, and `checkFinite` throws afterwards; a loader must call it.
public final class QuantizingSource: MatrixSource {
    public let name: String
    public let rows: Int
    public let columns: Int
    public let encoding: MatrixEncoding
    /// How the floats are encoded.
    public var scheme: IntegerScheme { encoder.scheme }

    private let base: any MatrixSource
    private let encoder: IntegerEncoder
    private let groupSize: Int
    /// The parameters of the whole matrix, if it has one scale; else nil.
    private let sharedParameters: GroupParameters?
    /// The first row that was found to hold a weight that is not finite; -1 if none was.
    private let faultyRow = Atomic<Int>(-1)

    /// Encodes the floats of `base`.
    ///
    /// If the whole matrix has one scale, all of it is read here; with other granularities nothing is read yet. Scales
    /// are rounded to the type of `base`'s floats before codes are computed from them.
    ///
    /// - Throws: `badScheme`; `notFinite` if the whole matrix is read.
    public init(_ base: any MatrixSource, scheme: IntegerScheme) throws(QuantizationError) {
        self.base = base
        name = base.name
        rows = base.rows
        columns = base.columns
        groupSize = scheme.groupSize(columns: base.columns)
        encoding = scheme.encoding(of: base)
        encoder = try IntegerEncoder(scheme: scheme, scaleType: scheme.scaleType(of: base))
        sharedParameters = scheme.granularity == .tensor ? try Self.measure(base, encoder: encoder) : nil
    }

    /// Throws if a row that was read holds a weight that is NaN or infinite.
    ///
    /// - Throws: `notFinite`.
    public func checkFinite() throws(QuantizationError) {
        let row = faultyRow.load(ordering: .acquiring)
        guard row < 0 else { throw .notFinite(tensor: name, row: row) }
    }

    public func checkUnchanged() throws(CheckpointError) {
        try base.checkUnchanged()
    }

    public func readCodes(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Int8>) {
        encode(rows: rows, columns: columns, codes: out, scales: nil, zeroPoints: nil)
    }

    public func readScales(
        rows: Range<Int>, columns: Range<Int>, into scales: UnsafeMutablePointer<Float>,
        zeroPoints: UnsafeMutablePointer<Float>?
    ) {
        encode(rows: rows, columns: columns, codes: nil, scales: scales, zeroPoints: zeroPoints)
    }

    public func readGroups(
        rows: Range<Int>, columns: Range<Int>, codes: UnsafeMutablePointer<Int8>,
        scales: UnsafeMutablePointer<Float>, zeroPoints: UnsafeMutablePointer<Float>?
    ) {
        encode(rows: rows, columns: columns, codes: codes, scales: scales, zeroPoints: zeroPoints)
    }

    public func readFloats(rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        let groups = groups(touching: columns)
        withUnsafeTemporaryAllocation(of: Int8.self, capacity: columns.count) { codes in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: groups.count * 2) { parameters in
                guard let codes = codes.baseAddress, let scales = parameters.baseAddress else { return }
                let zeroPoints = scales + groups.count
                var destination = out
                for row in rows {
                    encode(rows: row..<row + 1, columns: columns, codes: codes, scales: scales, zeroPoints: zeroPoints)
                    for (index, column) in columns.enumerated() {
                        let group = column / groupSize - groups.lowerBound
                        destination[index] = scales[group] * (Float(codes[index]) - zeroPoints[group])
                    }
                    destination += columns.count
                }
            }
        }
    }

    public func release(rows: Range<Int>) {
        base.release(rows: rows)
    }

    /// Encodes a strip, and computes only the results for which there is a buffer.
    private func encode(
        rows: Range<Int>, columns: Range<Int>, codes: UnsafeMutablePointer<Int8>?,
        scales: UnsafeMutablePointer<Float>?, zeroPoints: UnsafeMutablePointer<Float>?
    ) {
        let groups = groups(touching: columns)
        guard !groups.isEmpty else { return }
        // A scale of the whole matrix is known; a group's scale needs all of the group.
        let span =
            sharedParameters == nil
            ? groups.lowerBound * groupSize..<min(groups.upperBound * groupSize, self.columns) : columns
        withUnsafeTemporaryAllocation(of: Float.self, capacity: span.count) { buffer in
            guard let weights = buffer.baseAddress else { return }
            var codesOut = codes
            var parameterIndex = 0
            for row in rows {
                base.readFloats(rows: row..<row + 1, columns: span, into: weights)
                for group in groups {
                    let whole = (group * groupSize..<(group + 1) * groupSize).clamped(to: span)
                    let parameters = parameters(of: weights + (whole.lowerBound - span.lowerBound), whole.count, row)
                    scales?[parameterIndex] = parameters?.scale ?? .nan
                    zeroPoints?[parameterIndex] = Float(parameters?.zeroPoint ?? 0)
                    parameterIndex += 1
                    guard let codes = codesOut else { continue }
                    let part = whole.clamped(to: columns)
                    let out = codes + (part.lowerBound - columns.lowerBound)
                    if let parameters {
                        let first = weights + (part.lowerBound - span.lowerBound)
                        encoder.encode(first, count: part.count, parameters, into: out)
                    } else {
                        out.update(repeating: 0, count: part.count)
                    }
                }
                codesOut = codesOut.map { $0 + columns.count }
            }
        }
    }

    /// The parameters of a group; if it is not finite, nil, and the row is noted.
    private func parameters(of weights: UnsafePointer<Float>, _ count: Int, _ row: Int) -> GroupParameters? {
        if let sharedParameters { return sharedParameters }
        var range = WeightRange()
        range.add(weights, count: count)
        if let parameters = encoder.parameters(for: range) { return parameters }
        _ = faultyRow.compareExchange(expected: -1, desired: row, ordering: .acquiringAndReleasing)
        return nil
    }

    /// The parameters of one scale for all of `base`.
    private static func measure(
        _ base: any MatrixSource, encoder: IntegerEncoder
    ) throws(QuantizationError) -> GroupParameters {
        var range = WeightRange()
        var faultyRow: Int?
        withUnsafeTemporaryAllocation(of: Float.self, capacity: base.columns) { buffer in
            guard let weights = buffer.baseAddress else { return }
            for row in 0..<base.rows where faultyRow == nil {
                base.readFloats(rows: row..<row + 1, columns: 0..<base.columns, into: weights)
                range.add(weights, count: base.columns)
                if !range.isFinite { faultyRow = row }
            }
        }
        if base.rows == 0 || base.columns == 0 { return GroupParameters(scale: 1, zeroPoint: 0) }
        guard faultyRow == nil, let parameters = encoder.parameters(for: range) else {
            throw .notFinite(tensor: base.name, row: faultyRow ?? 0)
        }
        return parameters
    }
}

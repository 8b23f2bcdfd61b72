import Checkpoints
import Synchronization
import Tensors

/// A float matrix presented as integers: it is encoded strip by strip while it is read.
///
/// A part of a row gives the same codes as the whole: groups are counted over the whole matrix, and a group that
/// straddles an end of the part is measured whole. Reads cannot throw, so weights that are not finite give codes 0
/// with scale NaN, and `checkFinite` throws afterwards: whoever loads must call it.
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
    /// Where one scale serves the whole matrix.
    private let sharedParameters: GroupParameters?
    /// The first row found to hold weights that are not finite; -1 if none was.
    private let faultyRow = Atomic<Int>(-1)

    /// Wraps `base`, whose floats are encoded.
    ///
    /// One scale for the whole matrix costs a pass over all of it here; other granularities read nothing yet.
    ///
    /// Scales are rounded to the type that `base` stores before codes are computed with them.
    ///
    /// - Throws: `badScheme`; `notFinite` in the pass over all.
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

    /// Throws if a row read so far holds a weight that is NaN or infinite.
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

    /// Encodes a strip; what is not asked for is not computed.
    private func encode(
        rows: Range<Int>, columns: Range<Int>, codes: UnsafeMutablePointer<Int8>?,
        scales: UnsafeMutablePointer<Float>?, zeroPoints: UnsafeMutablePointer<Float>?
    ) {
        let groups = groups(touching: columns)
        guard !groups.isEmpty else { return }
        // A shared scale is known; other groups must be seen whole.
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

    /// The parameters of one group, noting the row where there are none.
    private func parameters(of weights: UnsafePointer<Float>, _ count: Int, _ row: Int) -> GroupParameters? {
        if let sharedParameters { return sharedParameters }
        var range = WeightRange()
        range.add(weights, count: count)
        if let parameters = encoder.parameters(for: range) { return parameters }
        _ = faultyRow.compareExchange(expected: -1, desired: row, ordering: .acquiringAndReleasing)
        return nil
    }

    /// The parameters that all of `base` shares.
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

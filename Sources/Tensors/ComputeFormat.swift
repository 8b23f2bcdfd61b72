/// How a weight matrix lies in memory for the kernels: one of few, whatever the checkpoint's format was.
public enum ComputeFormat: Hashable, Sendable {
    case float32
    case float16
    case bfloat16
    /// Signed 8-bit codes; every `group` columns of a row share a float32 scale.
    case int8(group: Int, symmetric: Bool)
    /// Signed 4-bit codes, alike.
    case int4(group: Int, symmetric: Bool)

    /// Output rows in a panel (`CK_LANES`).
    public static let panelRows = 16

    /// Columns that share a scale, for integer formats.
    public var group: Int? {
        switch self {
        case .int8(let group, _), .int4(let group, _): group
        default: nil
        }
    }

    /// Whether a group's codes have a zero point.
    public var isSymmetric: Bool {
        switch self {
        case .int8(_, let symmetric), .int4(_, let symmetric): symmetric
        default: true
        }
    }

    /// Bytes of a packed matrix `[rows, columns]` that starts `groupOffset` columns into a group.
    ///
    /// `block`: columns of a block of the input (see `ContractionLayout`). The one formula that both
    /// allocation and the cost model use.
    public func byteCount(rows: Int, columns: Int, block: Int, groupOffset: Int = 0) -> PackedByteCount {
        let panels = (rows + Self.panelRows - 1) / Self.panelRows
        let paddedColumns = (columns + block - 1) / block * block
        let perPanel =
            switch self {
            case .float32: columns * 64
            case .float16: columns * 32
            case .bfloat16: paddedColumns * 32
            case .int8: paddedColumns * 16
            case .int4: paddedColumns * 8
            }
        let scales =
            (group.map { Self.groupCount(columns: columns, group: $0, groupOffset: groupOffset) } ?? 0)
            * panels * Self.panelRows * MemoryLayout<Float>.size
        return PackedByteCount(codes: panels * perPanel, scales: scales, zeros: isSymmetric ? 0 : scales)
    }

    /// Groups that `columns` columns touch when the first lies `groupOffset` into its group.
    public static func groupCount(columns: Int, group: Int, groupOffset: Int) -> Int {
        columns == 0 ? 0 : (columns + groupOffset % group + group - 1) / group
    }
}

/// The parts of a packed matrix, in bytes.
public struct PackedByteCount: Equatable, Sendable {
    public let codes: Int
    public let scales: Int
    public let zeros: Int

    /// All parts together.
    public var total: Int { codes + scales + zeros }
}

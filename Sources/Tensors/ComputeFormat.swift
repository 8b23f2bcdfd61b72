/// How a weight matrix lies in memory for the kernels: one of few, whatever the checkpoint's format was.
public enum ComputeFormat: Hashable, Sendable {
    case float32
    case float16
    case bfloat16
    /// Signed 8-bit codes with a scale, and perhaps a zero point, for each group of columns of a row.
    case int8(WeightGroups)
    /// Signed 4-bit codes with scales, and perhaps zero points, for groups of columns.
    case int4(WeightGroups)

    /// Output rows in a panel (`CK_LANES`).
    public static let panelRows = 16

    /// The groups of an integer format; nil for floats.
    public var groups: WeightGroups? {
        switch self {
        case .int8(let groups), .int4(let groups): groups
        case .float32, .float16, .bfloat16: nil
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
        guard let groups else { return PackedByteCount(codes: panels * perPanel, scales: 0, zeros: 0) }
        let count = groups.count(columns: columns, offset: groupOffset) * panels * Self.panelRows
        return PackedByteCount(
            codes: panels * perPanel, scales: count * groups.scaleType.byteCount, zeros: groups.isSymmetric ? 0 : count)
    }
}

/// Weights of a row that share a scale.
public struct WeightGroups: Hashable, Sendable {
    /// Columns of a group; of all of a row's where it has one scale.
    public let size: Int
    /// Whether the code 0 stands for the weight 0.
    ///
    /// If not, each group has a zero point, from -128 to 127.
    public let isSymmetric: Bool
    /// float32, float16 or bfloat16.
    public let scaleType: ElementType

    public init(size: Int, isSymmetric: Bool = true, scaleType: ElementType = .float32) {
        self.size = size
        self.isSymmetric = isSymmetric
        self.scaleType = scaleType
    }

    /// Groups that `columns` columns touch when the first lies `offset` into its group.
    public func count(columns: Int, offset: Int = 0) -> Int {
        columns == 0 ? 0 : (columns + offset % size + size - 1) / size
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

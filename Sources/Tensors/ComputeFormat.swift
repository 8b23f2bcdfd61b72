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

    /// The columns that lie together in a packed matrix; the last columns are padded to a multiple of it.
    ///
    /// - Parameter run: columns of a run of pairs of bfloat16 (see `ContractionLayout`).
    public func step(run: Int) -> Int {
        switch self {
        case .float32, .float16: 1
        case .bfloat16: run
        case .int8: 4
        case .int4: 8
        }
    }

    /// Bytes of a packed matrix `[rows, columns]` whose first column is column `offset` of the whole matrix.
    ///
    /// Both allocation and the memory plan use this formula.
    public func byteCount(rows: Int, columns: Int, run: Int, offset: Int = 0) -> PackedByteCount {
        let panels = (rows + Self.panelRows - 1) / Self.panelRows
        let step = step(run: run)
        let bitsPerElement =
            switch self {
            case .float32: 32
            case .float16, .bfloat16: 16
            case .int8: 8
            case .int4: 4
            }
        let codes = panels * Self.panelRows * ((columns + step - 1) / step * step) * bitsPerElement / 8
        guard let groups else { return PackedByteCount(codes: codes, scales: 0, zeros: 0) }
        let count = groups.count(columns: columns, offset: offset) * panels * Self.panelRows
        return PackedByteCount(
            codes: codes, scales: count * groups.scaleType.byteCount, zeros: groups.isSymmetric ? 0 : count)
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

    /// The number of groups that `columns` columns touch if the first is column `offset` of the matrix.
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

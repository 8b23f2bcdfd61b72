import CKernels
import Tensors

/// A weight matrix `[rows, columns]` laid out for the kernels: panels of 16 rows, one in each vector lane.
///
/// It is packed once, at load; each panel is packed by the worker that will read it.
public final class PackedMatrix: @unchecked Sendable {
    // It is Sendable because it is written before the first step, each panel by one worker, and only read afterwards.
    let data: AlignedBuffer
    let scales: AlignedBuffer?
    let zeros: AlignedBuffer?
    let description: UnsafeMutablePointer<ck_matrix>

    public let format: ComputeFormat
    /// The number of output features.
    public let rows: Int
    /// The number of input features of this shard.
    public let columns: Int
    /// The number of columns of a block of the input; with integer weights they share an activation scale.
    public let block: Int
    /// The number of scales of each row.
    public let groupCount: Int
    private let panelByteCount: Int

    /// The number of panels of 16 rows; the last panel may have fewer.
    public var panelCount: Int { (rows + ComputeFormat.panelRows - 1) / ComputeFormat.panelRows }
    /// Whether groups have zero points.
    public var hasZeros: Bool { zeros != nil }
    /// The bytes of memory that the matrix takes.
    public var byteCount: Int { data.byteCount + (scales?.byteCount ?? 0) + (zeros?.byteCount ?? 0) }

    /// Allocates the memory; `ck_matrix` describes `sliceEnds` and `groupOffset`.
    public init(
        format: ComputeFormat, rows: Int, columns: Int, block: Int, sliceEnds: [Int], groupOffset: Int = 0
    ) throws(MemoryError) {
        precondition([1, 2, 4, 8].contains(sliceEnds.count) && sliceEnds.last == columns)
        precondition(sliceEnds.dropLast().allSatisfy { $0 % block == 0 || $0 == columns })
        let bytes = format.byteCount(rows: rows, columns: columns, block: block, groupOffset: groupOffset)
        data = try AlignedBuffer(byteCount: bytes.codes, hugePages: true)
        let groups = format.groups
        scales = groups == nil ? nil : try AlignedBuffer(byteCount: bytes.scales)
        zeros = groups?.isSymmetric ?? true ? nil : try AlignedBuffer(byteCount: bytes.zeros)
        self.format = format
        self.rows = rows
        self.columns = columns
        self.block = block
        let group = groups?.size ?? max(columns, 1)
        groupCount = groups?.count(columns: columns, offset: groupOffset) ?? 0
        panelByteCount = Int(ck_panel_bytes(format.kernelFormat, Int64(columns), Int32(block)))
        description = .allocate(capacity: 1)
        description.initialize(
            to: ck_matrix(
                data: data.baseAddress, scales: scales.map { UnsafeRawPointer($0.baseAddress) },
                zeros: zeros?.baseAddress.assumingMemoryBound(to: Int8.self), rows: Int64(rows),
                columns: Int64(columns),
                group: Int64(group), group_offset: Int64(groupOffset % group), group_count: Int64(groupCount),
                format: format.kernelFormat, scale_format: groups?.scaleFormat ?? CK_F32,
                block: Int32(block), slice_count: Int32(sliceEnds.count),
                slice_ends: (0, 0, 0, 0, 0, 0, 0, 0)))
        withUnsafeMutableBytes(of: &description.pointee.slice_ends) { bytes in
            for (index, end) in sliceEnds.enumerated() {
                bytes.storeBytes(of: Int64(end), toByteOffset: index * MemoryLayout<Int64>.stride, as: Int64.self)
            }
        }
    }

    deinit {
        description.deallocate()
    }

    /// Fills one panel of a float format from up to 16 rows of floats, which lie `columns` elements apart.
    public func packFloats(panel: Int, rows: UnsafePointer<Float>, rowCount: Int) {
        ck_pack_floats(
            format.kernelFormat, rows, Int64(rowCount), Int64(columns), Int64(columns), Int32(block),
            data.baseAddress + panel * panelByteCount)
    }

    /// Fills one panel of an integer format from up to 16 rows of codes, which lie `columns` elements apart, and from
    /// their scales and zero points `[row][group]`.
    public func packCodes(
        panel: Int, rows: UnsafePointer<Int8>, scales: UnsafePointer<Float>, zeros: UnsafePointer<Float>?, rowCount: Int
    ) {
        ck_pack_codes(
            format.kernelFormat, rows, Int64(rowCount), Int64(columns), Int64(columns), Int32(block),
            data.baseAddress + panel * panelByteCount)
        switch format.groups?.scaleType {
        case .float16: transpose(scales, rowCount, panel, into: self.scales) { Float16($0) }
        case .bfloat16: transpose(scales, rowCount, panel, into: self.scales) { BFloat16($0) }
        case .float32: transpose(scales, rowCount, panel, into: self.scales) { $0 }
        case let type: preconditionFailure("scales of type \(type.map { "\($0)" } ?? "none")")
        }
        if let zeros { transpose(zeros, rowCount, panel, into: self.zeros) { Int8($0) } }
    }

    /// Rearranges `[row][group]` into `[group][16]`, and converts the elements to another type.
    private func transpose<Element>(
        _ source: UnsafePointer<Float>, _ rowCount: Int, _ panel: Int, into buffer: AlignedBuffer?,
        as element: (Float) -> Element
    ) {
        guard let buffer else { return }
        let lanes = ComputeFormat.panelRows
        let target = buffer.baseAddress.assumingMemoryBound(to: Element.self) + panel * groupCount * lanes
        for row in 0..<rowCount {
            for group in 0..<groupCount { target[group * lanes + row] = element(source[row * groupCount + group]) }
        }
    }
}

extension ComputeFormat {
    var kernelFormat: ck_format {
        switch self {
        case .float32: CK_F32
        case .float16: CK_F16
        case .bfloat16: CK_BF16
        case .int8: CK_INT8
        case .int4: CK_INT4
        }
    }
}

extension WeightGroups {
    fileprivate var scaleFormat: ck_format {
        switch scaleType {
        case .float16: CK_F16
        case .bfloat16: CK_BF16
        case .float32: CK_F32
        default: preconditionFailure("scales of type \(scaleType)")
        }
    }
}

extension KeyValueType {
    var kernelFormat: ck_format {
        switch self {
        case .float32: CK_F32
        case .float16: CK_F16
        case .bfloat16: CK_BF16
        case .int8: CK_INT8
        case .fp8: CK_FP8
        }
    }
}

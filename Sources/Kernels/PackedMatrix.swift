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
    /// The table of blocks of an integer format; nil if there are none.
    private let blocks: UnsafeMutablePointer<ck_block>?
    let description: UnsafeMutablePointer<ck_matrix>

    public let format: ComputeFormat
    /// The number of output features.
    public let rows: Int
    /// The number of input features of this shard.
    public let columns: Int
    /// The number of columns with those that pad the last step.
    let paddedColumns: Int
    /// The number of blocks of the input that share a scale; 0 for floats.
    let blockCount: Int
    /// The number of scales of each row.
    public let groupCount: Int
    private let panelByteCount: Int

    /// The number of panels of 16 rows; the last panel may have fewer.
    public var panelCount: Int { (rows + ComputeFormat.panelRows - 1) / ComputeFormat.panelRows }
    /// Whether groups have zero points.
    public var hasZeros: Bool { zeros != nil }
    /// The bytes of memory that the matrix takes.
    public var byteCount: Int { data.byteCount + (scales?.byteCount ?? 0) + (zeros?.byteCount ?? 0) }

    /// Allocates the memory.
    ///
    /// - Parameters:
    ///   - run: columns of a run of pairs of bfloat16.
    ///   - sliceEnds: the ends of the slices of the sum (see `ck_matrix`), of which the last is the number of columns.
    ///   - offset: the first column's number in the whole matrix.
    public init(
        format: ComputeFormat, rows: Int, run: Int, sliceEnds: [Int], offset: Int = 0
    ) throws(MemoryError) {
        let columns = sliceEnds.last ?? 0
        let step = format.step(run: run)
        precondition([1, 2, 4, 8].contains(sliceEnds.count))
        precondition(format != .bfloat16 || run % 2 == 0, "columns of bfloat16 lie in pairs")
        precondition(sliceEnds.allSatisfy { $0 % step == 0 || $0 == columns })
        let bytes = format.byteCount(rows: rows, columns: columns, run: run, offset: offset)
        data = try AlignedBuffer(byteCount: bytes.codes, hugePages: true)
        let groups = format.groups
        scales = groups == nil ? nil : try AlignedBuffer(byteCount: bytes.scales)
        zeros = groups?.isSymmetric ?? true ? nil : try AlignedBuffer(byteCount: bytes.zeros)
        self.format = format
        self.rows = rows
        self.columns = columns
        paddedColumns = (columns + step - 1) / step * step
        groupCount = groups?.count(columns: columns, offset: offset) ?? 0
        panelByteCount = Int(ck_panel_bytes(format.kernelFormat, Int64(columns), Int32(run)))
        let inputBlocks = groups?.inputBlocks(sliceEnds: sliceEnds, offset: offset) ?? []
        precondition(inputBlocks.allSatisfy { $0.columns.lowerBound % step == 0 })
        blockCount = inputBlocks.count
        blocks = Self.table(of: inputBlocks, step: step)
        description = .allocate(capacity: 1)
        description.initialize(
            to: ck_matrix(
                data: data.baseAddress, scales: scales.map { UnsafeRawPointer($0.baseAddress) },
                zeros: zeros?.baseAddress.assumingMemoryBound(to: Int8.self), rows: Int64(rows),
                columns: Int64(columns), group_count: Int64(groupCount), format: format.kernelFormat,
                scale_format: groups?.scaleFormat ?? CK_F32, run: Int32(run), slice_count: Int32(sliceEnds.count),
                slice_ends: (0, 0, 0, 0, 0, 0, 0, 0), blocks: blocks, slice_blocks: (0, 0, 0, 0, 0, 0, 0, 0)))
        withUnsafeMutableBytes(of: &description.pointee.slice_ends) { bytes in
            for (index, end) in sliceEnds.enumerated() {
                bytes.storeBytes(of: Int64(end), toByteOffset: index * MemoryLayout<Int64>.stride, as: Int64.self)
            }
        }
        withUnsafeMutableBytes(of: &description.pointee.slice_blocks) { bytes in
            for (index, end) in sliceEnds.enumerated() {
                let count = inputBlocks.prefix { $0.columns.lowerBound < end }.count
                bytes.storeBytes(of: Int32(count), toByteOffset: index * MemoryLayout<Int32>.stride, as: Int32.self)
            }
        }
    }

    deinit {
        description.deallocate()
        blocks?.deallocate()
    }

    private static func table(of blocks: [InputBlock], step: Int) -> UnsafeMutablePointer<ck_block>? {
        guard !blocks.isEmpty else { return nil }
        let table = UnsafeMutablePointer<ck_block>.allocate(capacity: blocks.count)
        for (index, block) in blocks.enumerated() {
            let end = (block.columns.upperBound + step - 1) / step * step
            (table + index).initialize(
                to: ck_block(
                    begin: Int32(block.columns.lowerBound), end: Int32(end), group: Int32(block.group),
                    is_first: block.isFirst, is_last: block.isLast))
        }
        return table
    }

    /// Fills one panel of a float format from up to 16 rows of floats, which lie `columns` elements apart.
    public func packFloats(panel: Int, rows: UnsafePointer<Float>, rowCount: Int) {
        ck_pack_floats(
            format.kernelFormat, rows, Int64(rowCount), Int64(columns), Int64(columns), description.pointee.run,
            data.baseAddress + panel * panelByteCount)
    }

    /// Fills one panel of an integer format from up to 16 rows of codes, which lie `columns` elements apart, and from
    /// their scales and zero points `[row][group]`.
    public func packCodes(
        panel: Int, rows: UnsafePointer<Int8>, scales: UnsafePointer<Float>, zeros: UnsafePointer<Float>?, rowCount: Int
    ) {
        ck_pack_codes(
            format.kernelFormat, rows, Int64(rowCount), Int64(columns), Int64(columns),
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

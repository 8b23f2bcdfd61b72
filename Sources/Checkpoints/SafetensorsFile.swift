import Glibc
import Tensors

/// A mapped safetensors file whose header has been checked.
public struct SafetensorsFile: Sendable {
    /// The path that was opened.
    public let path: String
    /// The size of the file in bytes.
    public var byteCount: Int { file.bytes.count }
    /// The tensors in the order of their data.
    public let tensors: [StoredTensor]
    /// The text-to-text map that the file carries under `__metadata__`.
    public let metadata: [String: String]

    private let file: MappedFile

    /// Maps the file at `path` and checks its header; no tensor data is read.
    ///
    /// - Throws: `missingFile`, `unreadable`, `noRoom`, `malformedFile`, `pointer`, `malformedTensor`, `truncated`.
    public init(path: String) throws(CheckpointError) {
        let file = try MappedFile(path: path)
        let header = try SafetensorsHeader(of: file.bytes, path: path)
        self.path = path
        self.file = file
        metadata = header.metadata
        tensors = header.entries.map { StoredTensor(description: $0.description, file: file, range: $0.range) }
    }

    /// Checks that the file was not written to since it was opened.
    ///
    /// - Throws: `changed`.
    public func checkUnchanged() throws(CheckpointError) {
        try file.checkUnchanged()
    }
}

/// A tensor in a mapped file; the file stays mapped while the tensor exists.
public struct StoredTensor: Sendable {
    /// Name, element type and shape.
    public let description: TensorDescription

    private let file: MappedFile
    private let range: Range<Int>

    init(description: TensorDescription, file: MappedFile, range: Range<Int>) {
        self.description = description
        self.file = file
        self.range = range
    }

    public var name: String { description.name }
    /// Extents, outermost first; empty for a scalar.
    public var shape: [Int] { description.shape }
    public var type: ElementType { description.type }
    /// The path of the file that holds it.
    public var path: String { file.path }
    /// The elements, row-major, little-endian, at any alignment; valid while the tensor or its checkpoint exists.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: file.bytes[range]) }

    /// Gives the pages of these rows (indices of the outermost extent) back to the system.
    ///
    /// This includes the page that these rows share with the rows before them, so that strips that are released one
    /// after another leave nothing behind. A thread that still reads that page takes one page fault.
    public func release(rows: Range<Int>) {
        guard let rowCount = shape.first, rowCount > 0 else { return }
        let rowByteCount = range.count / rowCount
        let start = rows.lowerBound * rowByteCount - (MappedFile.pageByteCount - 1)
        file.release(range.lowerBound + max(0, start)..<range.lowerBound + rows.upperBound * rowByteCount)
    }

    /// Gives all pages of the tensor back to the system.
    public func release() {
        file.release(range)
    }

    /// Checks that the tensor's file was not written to since it was opened.
    ///
    /// - Throws: `changed`.
    public func checkUnchanged() throws(CheckpointError) {
        try file.checkUnchanged()
    }

    /// Reads up to 64 bytes at each of 16 evenly spaced places, from the first byte to the last, without mapping a
    /// page.
    ///
    /// - Throws: `changed`, `unreadable`.
    func sample(_ body: (UnsafeRawBufferPointer) -> Void) throws(CheckpointError) {
        let (placeCount, length) = (16, 64)
        guard range.count > placeCount * length else { return try file.read(range, body) }
        for place in 0..<placeCount {
            let start = range.lowerBound + (range.count - length) * place / (placeCount - 1)
            try file.read(start..<start + length, body)
        }
    }

    /// Whether another tensor has the same type, shape and bytes.
    ///
    /// A few places are compared first, which differ in tensors that were trained separately. Only if they are equal,
    /// both tensors are read whole, in pieces whose pages are given back.
    public func isEqual(to other: StoredTensor) -> Bool {
        guard type == other.type, shape == other.shape else { return false }
        let (mine, others) = (bytes, other.bytes)
        guard let first = mine.baseAddress, let second = others.baseAddress else { return mine.count == others.count }
        let piece = 1 << 22
        func isEqual(_ start: Int, _ count: Int) -> Bool {
            memcmp(first + start, second + start, count) == 0
        }
        defer {
            release()
            other.release()
        }
        for place in 0..<64 {
            let start = mine.count / 64 * place
            guard isEqual(start, min(64, mine.count - start)) else { return false }
        }
        for start in stride(from: 0, to: mine.count, by: piece) {
            let count = min(piece, mine.count - start)
            guard isEqual(start, count) else { return false }
            file.release(range.lowerBound + start..<range.lowerBound + start + count)
            other.file.release(other.range.lowerBound + start..<other.range.lowerBound + start + count)
        }
        return true
    }

    /// The error that names this tensor and its problem.
    func malformed(_ problem: String) -> CheckpointError {
        .malformedTensor(name: name, path: path, problem: problem)
    }
}

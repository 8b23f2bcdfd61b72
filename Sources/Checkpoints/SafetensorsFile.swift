import Tensors

/// One safetensors file, mapped, with a header that has been checked against it.
public struct SafetensorsFile: Sendable {
    /// The path that was opened.
    public let path: String
    /// Bytes in the file.
    public var byteCount: Int { file.bytes.count }
    /// The tensors in the order of their data.
    public let tensors: [StoredTensor]
    /// The text-to-text map that the file carries under `__metadata__`.
    public let metadata: [String: String]

    private let file: MappedFile

    /// Maps the file at `path` and checks its header; no tensor data is read.
    ///
    /// - Throws: `missingFile`, `unreadable`, `malformedFile`, `malformedTensor`, `truncated`.
    public init(path: String) throws(CheckpointError) {
        let file = try MappedFile(path: path)
        let header = try SafetensorsHeader(of: file.bytes, path: path)
        self.path = path
        self.file = file
        metadata = header.metadata
        tensors = header.entries.map { StoredTensor(description: $0.description, file: file, range: $0.range) }
    }
}

/// A tensor where it lies in a mapped file, which it keeps mapped.
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
    /// The elements, row-major, little-endian, at any alignment; valid while the tensor or its checkpoint lives.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: file.bytes[range]) }

    /// Gives the pages of these rows (of the outermost extent) back to the system.
    ///
    /// The page that a strip shares with the strip before it goes too, so that strips released one after another
    /// leave nothing behind; another thread that still reads it pays one page fault.
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

    /// The error that this tensor has `problem`.
    func malformed(_ problem: String) -> CheckpointError {
        .malformedTensor(name: name, path: path, problem: problem)
    }
}

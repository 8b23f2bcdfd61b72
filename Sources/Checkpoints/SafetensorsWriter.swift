import Glibc
import JSON
import Messages
import Tensors

/// Writes a safetensors file in strips, without holding a whole tensor in memory.
///
/// All names, types and shapes are given first, so the header can be written and every tensor has its place. Tensors
/// may then be written in turns, each from its start to its end. The bytes go to a temporary file in the directory of
/// `path`, which `finish` renames; a writer that is released earlier removes it.
public final class SafetensorsWriter {
    /// The path of the finished file.
    public let path: String
    /// The tensors in the order of their data.
    public let tensors: [TensorDescription]
    /// The size of the finished file in bytes.
    public let byteCount: Int

    private let temporaryPath: String
    private var descriptor: Int32
    /// For each tensor, the offsets in the file of its next byte and of its end.
    private var cursors: [(next: Int, end: Int)] = []

    /// Writes the header.
    ///
    /// - Parameter tensors: must have distinct names; with wide element types first, the data is aligned.
    /// - Throws: `unwritable`, `malformedTensor` where a size does not fit an `Int`.
    public init(
        path: String, tensors: [TensorDescription], metadata: [String: String] = ["format": "pt"]
    ) throws(CheckpointError) {
        precondition(Set(tensors.map(\.name)).count == tensors.count, "two tensors of one name")
        self.path = path
        self.tensors = tensors
        temporaryPath = "\(path).partial-\(getpid())"

        var header = "{\"__metadata__\":{"
        header += metadata.sorted { $0.key < $1.key }
            .map { "\(JSONValue.encoded($0.key)):\(JSONValue.encoded($0.value))" }.joined(separator: ",")
        header += "}"
        var offset = 0
        var ranges: [Range<Int>] = []
        for tensor in tensors {
            guard let size = tensor.byteCount, size <= Int.max / 2 - offset else {
                throw .malformedTensor(
                    name: tensor.name, path: path, problem: "\(listed(tensor.shape)) is too large to write")
            }
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            header += ",\(JSONValue.encoded(tensor.name)):{\"dtype\":\"\(tensor.type.rawValue)\",\"shape\":[\(shape)],"
            header += "\"data_offsets\":[\(offset),\(offset + size)]}"
            ranges.append(offset..<offset + size)
            offset += size
        }
        header += "}"
        // Padding makes the data begin at a multiple of 8.
        header += String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
        let dataStart = 8 + header.utf8.count
        byteCount = dataStart + offset
        cursors = ranges.map { (next: $0.lowerBound + dataStart, end: $0.upperBound + dataStart) }

        descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            throw .unwritable(path: temporaryPath, reason: systemErrorMessage())
        }
        let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
        try (length + Array(header.utf8)).withUnsafeBufferPointer { (buffer) throws(CheckpointError) in
            try write(UnsafeRawBufferPointer(buffer), at: 0)
        }
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        unlink(temporaryPath)
    }

    /// Appends bytes to the tensor at `index` of `tensors`; more bytes than it has are a programming error and trap.
    ///
    /// - Throws: `unwritable`.
    public func append(_ bytes: UnsafeRawBufferPointer, to index: Int) throws(CheckpointError) {
        precondition(bytes.count <= cursors[index].end - cursors[index].next, "\(tensors[index].name) is full")
        try write(bytes, at: cursors[index].next)
        cursors[index].next += bytes.count
    }

    /// Closes the file and renames it to `path`; an incomplete tensor is a programming error and traps.
    ///
    /// - Throws: `unwritable`.
    public func finish() throws(CheckpointError) {
        for (tensor, cursor) in zip(tensors, cursors) {
            precondition(cursor.next == cursor.end, "\(tensor.name) lacks \(cursor.end - cursor.next) bytes")
        }
        let closing = close(descriptor)
        let reason = systemErrorMessage()
        descriptor = -1
        guard closing == 0 else {
            unlink(temporaryPath)
            throw .unwritable(path: path, reason: reason)
        }
        guard rename(temporaryPath, path) == 0 else {
            let reason = systemErrorMessage()
            unlink(temporaryPath)
            throw .unwritable(path: path, reason: reason)
        }
    }

    private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(CheckpointError) {
        var written = 0
        while written < bytes.count, let base = bytes.baseAddress {
            let count = pwrite(descriptor, base + written, bytes.count - written, off_t(offset + written))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw .unwritable(path: temporaryPath, reason: count < 0 ? systemErrorMessage() : "the disk is full")
            }
            written += count
        }
    }
}

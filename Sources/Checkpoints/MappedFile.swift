import CProcess
import Glibc

/// A file mapped read-only into memory for as long as the object lives.
///
/// If a file shrinks while it is mapped, an access raises SIGBUS, which ends the program with a line that names the
/// file (`cprocess_add_mapping`). If it is written to in place, other bytes are read. So a reader compares
/// `bytes.count` with the header when it opens the file, and calls `checkUnchanged` after it has read.
///
/// `@unchecked Sendable`: the mapping and the descriptor are read-only and do not change between `init` and `deinit`;
/// `madvise` may be called from any thread and changes no contents.
public final class MappedFile: @unchecked Sendable {
    /// The path that was opened.
    public let path: String
    /// The contents of the file, valid while the object lives.
    public let bytes: UnsafeRawBufferPointer

    /// The open file: through it a change is seen even after the file was renamed.
    private let descriptor: Int32
    private let state: FileState

    /// Bytes in a page of memory.
    static let pageByteCount = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// Maps the regular file at `path`.
    ///
    /// - Throws: `missingFile`, `unreadable`, `noRoom`.
    public init(path: String) throws(CheckpointError) {
        self.path = path
        // Without O_NONBLOCK, opening a pipe would block until its other end is opened.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            guard errno != ENOENT, errno != ENOTDIR else {
                throw .missingFile(path: path, reason: "needed as a weight file")
            }
            throw .unreadable(path: path, code: errno)
        }
        var isOpened = false
        defer { if !isOpened { close(descriptor) } }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .unreadable(path: path, code: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .unreadable(path: path, reason: "it is not a regular file")
        }
        self.descriptor = descriptor
        state = FileState(status)
        let byteCount = Int(status.st_size)
        // mmap does not accept a length of zero.
        guard byteCount > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            isOpened = true
            return
        }
        let address = mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0)
        guard address != MAP_FAILED, let address else {
            guard errno != ENOMEM else { throw .noRoom(path: path, byteCount: byteCount) }
            throw .unreadable(path: path, code: errno)
        }
        isOpened = true
        bytes = UnsafeRawBufferPointer(start: address, count: byteCount)
        // If the file shrinks, the message about the fault can then name it.
        _ = cprocess_add_mapping(address, byteCount, path)
    }

    deinit {
        if let address = bytes.baseAddress {
            cprocess_remove_mapping(address)
            munmap(UnsafeMutableRawPointer(mutating: address), bytes.count)
        }
        close(descriptor)
    }

    /// Checks, by one system call and without reading data, that the file was not written to since it was opened.
    ///
    /// Renaming another file over this one is no change: the old file stays mapped.
    ///
    /// - Throws: `changed`.
    public func checkUnchanged() throws(CheckpointError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0, FileState(status) == state else { throw .changed(path: path) }
    }

    /// Reads `range` (bytes from the start of the file) without mapping a page.
    ///
    /// - Throws: `changed` if the file ends before the range does; `unreadable`.
    func read(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) throws(CheckpointError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 16)
        defer { buffer.deallocate() }
        var done = 0
        while done < range.count {
            let count = pread(
                descriptor, buffer.baseAddress.map { $0 + done }, range.count - done, off_t(range.lowerBound + done))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .unreadable(path: path, code: errno) }
            guard count > 0 else { throw .changed(path: path) }
            done += count
        }
        body(UnsafeRawBufferPointer(buffer))
    }

    /// Gives the pages that lie wholly inside `range` (bytes from the start of the file) back to the system.
    ///
    /// They may be read again, at the cost of a page fault.
    public func release(_ range: Range<Int>) {
        let page = Self.pageByteCount
        let start = (range.lowerBound + page - 1) / page * page
        // Nothing follows the end of the file, so its last page may go even if it is not full.
        let end = range.upperBound >= bytes.count ? bytes.count : range.upperBound / page * page
        guard start < end, let base = bytes.baseAddress else { return }
        madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, MADV_DONTNEED)
    }
}

/// What changes when a file is written to.
private struct FileState: Equatable {
    let device: dev_t
    let inode: ino_t
    let byteCount: off_t
    let seconds: Int
    let nanoseconds: Int

    init(_ status: stat) {
        device = status.st_dev
        inode = status.st_ino
        byteCount = status.st_size
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }
}

/// The text of the last error that a system call of this thread left behind.
func systemErrorMessage() -> String {
    String(cString: strerror(errno))
}

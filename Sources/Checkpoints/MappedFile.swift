import CProcess
import Glibc

/// A file mapped read-only into memory for as long as the object lives.
///
/// A file that shrinks while it is mapped raises SIGBUS on access, which ends the program with a line that names it
/// (`cprocess_add_mapping`); one that is written to in place gives other bytes. So readers compare `bytes.count` with what
/// the header promises when they open it, and ask `checkUnchanged` after they have read.
///
/// `@unchecked Sendable`: the mapping and the descriptor are read-only and fixed from `init` to `deinit`; `madvise` may
/// be called from any thread and changes no contents.
public final class MappedFile: @unchecked Sendable {
    /// The path that was opened.
    public let path: String
    /// The whole file; valid while the object lives.
    public let bytes: UnsafeRawBufferPointer

    /// Kept open, so that a change is seen even where the file has another name by now.
    private let descriptor: Int32
    private let state: FileState

    /// Bytes in a page of memory.
    static let pageByteCount = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// Maps the regular file at `path`.
    ///
    /// - Throws: `missingFile`, `unreadable`, `noRoom`.
    public init(path: String) throws(CheckpointError) {
        self.path = path
        // Without O_NONBLOCK, opening a pipe would wait for its other end.
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
        // mmap refuses a length of zero.
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
        // Should the file shrink, the fault's message can name it.
        _ = cprocess_add_mapping(address, byteCount, path)
    }

    deinit {
        if let address = bytes.baseAddress {
            cprocess_remove_mapping(address)
            munmap(UnsafeMutableRawPointer(mutating: address), bytes.count)
        }
        close(descriptor)
    }

    /// Checks that the file was not written to since it was opened: one system call, no data is read.
    ///
    /// A new file renamed over this one changes nothing here: the old one stays mapped.
    ///
    /// - Throws: `changed`.
    public func checkUnchanged() throws(CheckpointError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0, FileState(status) == state else { throw .changed(path: path) }
    }

    /// Reads `range` (bytes from the start of the file) without mapping a page.
    ///
    /// - Throws: `changed` where the file ends before, `unreadable`.
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

    /// Gives the whole pages inside `range` (bytes from the start of the file) back to the system.
    ///
    /// Reading them again is correct and costs a page fault.
    public func release(_ range: Range<Int>) {
        let page = Self.pageByteCount
        let start = (range.lowerBound + page - 1) / page * page
        // The last page of the file has nothing after it to keep.
        let end = range.upperBound >= bytes.count ? bytes.count : range.upperBound / page * page
        guard start < end, let base = bytes.baseAddress else { return }
        madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, MADV_DONTNEED)
    }
}

/// What tells that a file was written to.
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

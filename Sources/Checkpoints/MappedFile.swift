import CProcess
import Glibc

/// A file mapped read-only into memory for as long as the object lives.
///
/// Readers compare `bytes.count` with what the header promises when they open it. A file that shrinks afterwards raises
/// SIGBUS on access, which ends the program with a line that names it (`cprocess_add_mapping`).
///
/// `@unchecked Sendable`: the mapping is read-only and fixed from `init` to `deinit`; `madvise` may be called from
/// any thread and changes no contents.
public final class MappedFile: @unchecked Sendable {
    /// In which order the pages will be read.
    public enum AccessPattern: Sendable {
        case sequential
        case random
    }

    /// The path that was opened.
    public let path: String
    /// The whole file; valid while the object lives.
    public let bytes: UnsafeRawBufferPointer

    /// Bytes in a page of memory.
    static let pageByteCount = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// Maps the regular file at `path`.
    ///
    /// - Throws: `missingFile`, `unreadable`.
    public init(path: String) throws(CheckpointError) {
        self.path = path
        // Without O_NONBLOCK, opening a pipe would wait for its other end.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            guard errno != ENOENT, errno != ENOTDIR else {
                throw .missingFile(path: path, reason: "needed as a weight file")
            }
            throw .unreadable(path: path, reason: systemErrorMessage())
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw .unreadable(path: path, reason: systemErrorMessage())
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .unreadable(path: path, reason: "it is not a regular file")
        }
        let byteCount = Int(status.st_size)
        // mmap refuses a length of zero.
        guard byteCount > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        let address = mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0)
        guard address != MAP_FAILED, let address else {
            throw .unreadable(path: path, reason: systemErrorMessage())
        }
        bytes = UnsafeRawBufferPointer(start: address, count: byteCount)
        // Should the file shrink, the fault's message can name it.
        _ = cprocess_add_mapping(address, byteCount, path)
    }

    deinit {
        if let address = bytes.baseAddress {
            cprocess_remove_mapping(address)
            munmap(UnsafeMutableRawPointer(mutating: address), bytes.count)
        }
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

    /// Tells the system in which order the file will be read.
    public func advise(_ pattern: AccessPattern) {
        guard let base = bytes.baseAddress else { return }
        let advice = pattern == .sequential ? MADV_SEQUENTIAL : MADV_RANDOM
        madvise(UnsafeMutableRawPointer(mutating: base), bytes.count, advice)
    }
}

/// The text of the last error that a system call of this thread left behind.
func systemErrorMessage() -> String {
    String(cString: strerror(errno))
}

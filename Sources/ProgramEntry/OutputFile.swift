@preconcurrency import Glibc
import Synchronization

/// A file that an option names, which appears under its name only when it is complete.
///
/// Until then it is in the same directory, without a name if the file system supports that, so that nothing is left
/// behind however the program ends. If the path exists and is not a regular file, such as a pipe or a device, it is
/// written to directly.
public final class OutputFile: Sendable {
    private let path: String
    private let option: String
    private let form: Form
    /// The open file; -1 after it is closed.
    private let descriptor: Mutex<Int32>

    private enum Form {
        case existing
        case nameless
        case beside(String)
    }

    /// Opens a file.
    ///
    /// - Parameters:
    ///   - path: the path of the finished file.
    ///   - option: the option that names it, for messages.
    /// - Throws: `RunError` with status 65.
    public init(_ path: String, option: String) throws(RunError) {
        self.option = option
        var status = stat()
        let exists = stat(path, &status) == 0
        // A file that another program holds open must not be replaced.
        let isOpenElsewhere = ["/dev/std", "/dev/fd/", "/proc/"].contains { path.hasPrefix($0) }
        let isRegular = status.st_mode & S_IFMT == S_IFREG && !isOpenElsewhere
        // The target of a link is replaced, not the link.
        let real = exists && isRegular ? realpath(path, nil) : nil
        let place = real.map { String(cString: $0) } ?? path
        free(real)
        var opened: Int32
        if exists, !isRegular {
            form = .existing
            opened = path == "/dev/stdout" ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        } else {
            let folder = place.lastIndex(of: "/").map { String(place[...$0]) } ?? "."
            opened = open(folder, Self.nameless | O_WRONLY | O_CLOEXEC, 0o666)
            if opened >= 0 {
                form = .nameless
            } else {
                let name = Self.temporaryName(place)
                form = .beside(name)
                opened = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            }
        }
        self.path = place
        descriptor = Mutex(opened)
        guard opened >= 0 else { throw failure(errno) }
        if exists, isRegular { fchmod(opened, status.st_mode & 0o777) }
    }

    deinit { discard() }

    /// The value of Linux's O_TMPFILE, a macro that Swift does not import.
    private static let nameless = O_DIRECTORY | 0o20_000_000

    private static func temporaryName(_ path: String) -> String { "\(path).\(getpid()).part" }

    /// Appends bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(RunError) {
        if let code = descriptor.withLock({ writeAll(bytes, to: $0) }) { throw failure(code) }
    }

    /// Copies the contents of the existing file, so that later output is appended to them.
    public func writeWhatIsThere() throws(RunError) {
        if case .existing = form { return }
        guard access(path, F_OK) == 0 else { return }
        let bytes = try readInput(path)
        if let code = descriptor.withLock({ opened in bytes.withUnsafeBytes { writeAll($0, to: opened) } }) {
            throw failure(code)
        }
    }

    /// Gives the file its name, after all that was written has reached the disk.
    public func commit() throws(RunError) {
        let opened = descriptor.withLock { $0 }
        let temporary: String
        switch form {
        case .existing:
            guard close() == 0 else { throw failure(errno) }
            return
        case .nameless:
            guard fsync(opened) == 0 else { throw failure(errno) }
            temporary = Self.temporaryName(path)
            guard linkat(AT_FDCWD, "/proc/self/fd/\(opened)", AT_FDCWD, temporary, AT_SYMLINK_FOLLOW) == 0 else {
                throw failure(errno)
            }
        case .beside(let name):
            guard fsync(opened) == 0 else { throw failure(errno) }
            temporary = name
        }
        guard close() == 0, rename(temporary, path) == 0 else {
            let code = errno
            unlink(temporary)
            throw failure(code)
        }
    }

    /// Removes the file, unless it was committed.
    public func discard() {
        guard descriptor.withLock({ $0 }) >= 0 else { return }
        _ = close()
        if case .beside(let name) = form { unlink(name) }
    }

    private func close() -> Int32 {
        descriptor.withLock { opened in
            defer { opened = -1 }
            return opened >= 0 ? Glibc.close(opened) : 0
        }
    }

    private func failure(_ code: Int32) -> RunError {
        RunError(.badInput, "\(option) \(path) cannot be written: \(String(cString: strerror(code)))")
    }
}

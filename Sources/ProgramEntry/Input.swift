@preconcurrency import Glibc
import Messages

/// Reads a whole input: a file, a pipe, a device, or standard input for `-`.
///
/// - Parameters:
///   - path: the path, as the user gave it.
///   - limit: the most bytes that are read, because a pipe or a device may never end.
///   - isInterrupted: called twice a second while nothing arrives.
/// - Throws: `RunError`: 66 if the input is missing or cannot be read, 65 if it is too long, 130 when interrupted.
public func readInput(
    _ path: String, limit: Int = 1 << 30, isInterrupted: () -> Bool = { false }
) throws(RunError) -> [UInt8] {
    let source = try InputSource(path)
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    while true {
        guard let count = try source.read(into: &chunk, isInterrupted: isInterrupted) else {
            throw RunError(.interrupted, "interrupted while reading \(source.name)")
        }
        if count == 0 { return bytes }
        guard bytes.count + count <= limit else {
            throw RunError(
                .badInput, "\(source.name) is longer than the \(limit) bytes that are read; give a part of it")
        }
        bytes += chunk[..<count]
    }
}

/// Reads standard input by lines, each as soon as it is complete.
public struct InputLines {
    /// The number of lines that were returned.
    public private(set) var count = 0

    private static let longest = 64 << 20
    private let source: InputSource
    private var waiting: [UInt8] = []
    private var searched = 0
    private var isAtEnd = false

    public init() throws(RunError) {
        source = try InputSource("-")
    }

    /// Reads the next line, without its end; nil after the last one, or when interrupted.
    ///
    /// - Throws: `RunError`: 66 if standard input cannot be read, 65 for a line that never ends.
    public mutating func next(isInterrupted: () -> Bool) throws(RunError) -> [UInt8]? {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            if let end = waiting[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(waiting[..<end])
                waiting.removeSubrange(...end)
                searched = 0
                count += 1
                return line
            }
            searched = waiting.count
            if isAtEnd {
                guard !waiting.isEmpty else { return nil }
                defer { waiting = [] }
                searched = 0
                count += 1
                return waiting
            }
            guard waiting.count <= Self.longest else {
                throw RunError(.badInput, "\(source.name), line \(count + 1): it is longer than \(Self.longest) bytes")
            }
            guard let read = try source.read(into: &chunk, isInterrupted: isInterrupted) else { return nil }
            isAtEnd = read == 0
            waiting += chunk[..<read]
        }
    }
}

/// An open input, whose errors name it.
private final class InputSource {
    let name: String
    private let descriptor: Int32

    init(_ path: String) throws(RunError) {
        // The path of standard input cannot be opened if that is a socket.
        let isStandard = path == "-" || path == "/dev/stdin"
        name = isStandard ? "standard input" : path.isEmpty ? "\"\"" : escaped(path) + unfoundHint(path)
        // Under mpirun a closed input looks like an empty one; the launcher tells them apart (Launch/launch.sh).
        if isStandard, getenv("TRIREME_INPUT").map({ String(cString: $0) }) == "closed" {
            throw Self.failure(name, EBADF)
        }
        descriptor = isStandard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure(name, errno) }
    }

    deinit {
        if descriptor != STDIN_FILENO { close(descriptor) }
    }

    /// Reads available bytes into the start of `chunk`; returns their number, 0 at the end, nil when interrupted.
    func read(into chunk: inout [UInt8], isInterrupted: () -> Bool) throws(RunError) -> Int? {
        while !isInterrupted() {
            // Unlike `read`, `poll` returns on a signal even if the handler was installed with SA_RESTART.
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&wait, 1, 500)
            if ready == 0 || (ready < 0 && errno == EINTR) { continue }
            let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 { return count }
            if errno == EINTR || errno == EAGAIN { continue }
            throw Self.failure(name, errno)
        }
        return nil
    }

    private static func failure(_ name: String, _ code: Int32) -> RunError {
        switch code {
        case ENOENT: RunError(.missingInput, "no such file: \(name)")
        case EISDIR: RunError(.missingInput, "\(name) is a directory; give a file")
        case EBADF: RunError(.missingInput, "\(name) is closed, or not open for reading")
        default: RunError(.missingInput, "\(name) cannot be read: \(String(cString: strerror(code)))")
        }
    }
}

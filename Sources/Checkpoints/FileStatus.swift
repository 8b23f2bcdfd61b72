import FoundationEssentials
import Glibc
import JSON
import Messages

/// The type bits of a file's mode, after following symbolic links; nil if the file does not exist.
///
/// - Throws: `brokenLink` for a link to nothing or to itself; `unreadable` if a directory of the path may not be read.
func fileKind(of path: String) throws(CheckpointError) -> mode_t? {
    var status = stat()
    guard stat(path, &status) != 0 else { return status.st_mode & S_IFMT }
    let code = errno
    if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK {
        throw .brokenLink(path: path, target: linkTarget(path))
    }
    guard code == EACCES else { return nil }
    throw .unreadable(path: path, code: code)
}

/// The target of a symbolic link.
private func linkTarget(_ path: String) -> String {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = buffer.withUnsafeMutableBytes { bytes in
        bytes.baseAddress.map { readlink(path, $0, bytes.count) } ?? 0
    }
    return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
}

/// The names in a directory, sorted.
///
/// - Throws: `unreadable`.
func fileNames(in directory: String) throws(CheckpointError) -> [String] {
    do {
        return try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
    } catch {
        throw .unreadable(path: directory, reason: "it cannot be listed; check its permissions")
    }
}

/// Parses a JSON file, as Python programs write it.
///
/// - Throws: `missingFile`, `unreadable`, `malformedFile`, `pointer`.
func parseJSONFile(_ path: String) throws(CheckpointError) -> JSONValue {
    let file = try MappedFile(path: path)
    defer { withExtendedLifetime(file) {} }
    if let hint = pointerHint(file.bytes.prefix(64)) { throw .pointer(path: path, hint: hint) }
    do {
        return try JSONValue(parsing: file.bytes, as: .python)
    } catch {
        throw .malformedFile(path: path, problem: "\(error)")
    }
}

/// Whether a name stays in its directory: it is not empty, "." or "..", and has no separator and no NUL.
func isPlainFileName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
}

/// The part of a path after the last separator.
func lastComponent(of path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
}

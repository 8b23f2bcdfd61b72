import Checkpoints
import FoundationEssentials
import Glibc

/// A directory that appears under its name only when it is complete.
///
/// It is written as `NAME.partial-PID` in the same parent directory, and renamed at the end.
struct OutputDirectory: Sendable {
    private let path: String
    private let partial: String

    /// Checks the path; nothing is created.
    ///
    /// - Throws: `outputInsideInput` (directories are compared by identity, so symbolic links do not hide it),
    ///   `outputExists`, `outputIsBrokenLink`, `unwritable` if the parent directory does not exist.
    init(path given: String, input: String) throws(QuantizationError) {
        var path = given
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard !path.isEmpty else { throw .unwritable(path: given, reason: "the name is empty") }
        let exists = status(path) != nil
        var link = stat()
        // A directory cannot be renamed to a link without a target.
        if !exists, lstat(path, &link) == 0 { throw .outputIsBrokenLink(path: given) }
        // A link to an empty directory means that directory.
        let parent = exists ? path : path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        guard let resolved = realpath(parent, nil) else {
            throw .unwritable(path: given, reason: "its parent directory does not exist")
        }
        defer { free(resolved) }
        let start = String(cString: resolved)
        var ancestor = start
        while let place = status(ancestor) {
            if let model = status(input), model.st_dev == place.st_dev, model.st_ino == place.st_ino {
                throw .outputInsideInput(path: given)
            }
            guard let separator = ancestor.lastIndex(of: "/"), ancestor != "/" else { break }
            ancestor = separator == ancestor.startIndex ? "/" : String(ancestor[..<separator])
        }
        if exists {
            let contents = try? FileManager.default.contentsOfDirectory(atPath: start)
            guard let contents, contents.isEmpty else { throw .outputExists(path: given) }
            self.path = start
        } else {
            let name = path.split(separator: "/").last.map(String.init) ?? path
            self.path = start == "/" ? "/\(name)" : "\(start)/\(name)"
        }
        partial = "\(self.path).partial-\(getpid())"
    }

    /// Creates the partial directory, which must not exist, and returns its path.
    func create() throws(QuantizationError) -> String {
        guard mkdir(partial, 0o777) == 0 else {
            throw .unwritable(path: partial, reason: String(cString: strerror(errno)))
        }
        return partial
    }

    /// Writes a small file.
    func write(_ name: String, _ bytes: [UInt8]) throws(QuantizationError) {
        let path = "\(partial)/\(name)"
        func failure() -> QuantizationError { .unwritable(path: path, reason: String(cString: strerror(errno))) }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw failure() }
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let error = failure()
                close(descriptor)
                throw error
            }
            done += count
        }
        guard close(descriptor) == 0 else { throw failure() }
    }

    /// Copies the other files that a user of the weights needs: tokenizer, generation defaults, licence.
    func copyCompanions(from checkpoint: Checkpoint) throws(QuantizationError) {
        let prefixes = [
            "tokenizer", "special_tokens_map.", "added_tokens.", "vocab.", "merges.", "chat_template",
            "generation_config.", "LICENSE", "NOTICE",
        ]
        let names = (try? FileManager.default.contentsOfDirectory(atPath: checkpoint.directory)) ?? []
        for name in names.sorted() where prefixes.contains(where: name.hasPrefix) || name.hasSuffix(".tiktoken") {
            guard let status = status("\(checkpoint.directory)/\(name)"), status.st_mode & S_IFMT == S_IFREG else {
                continue
            }
            let contents = try reading { () throws(CheckpointError) in try checkpoint.json(name) }
            if let contents { try write(name, [UInt8](contents)) }
        }
    }

    /// Renames the partial directory to its final name, replacing an empty directory of that name.
    func commit() throws(QuantizationError) {
        guard rename(partial, path) == 0 else {
            // The output did not exist or was empty when this run began.
            guard ![ENOTEMPTY, EEXIST, ENOTDIR].contains(errno) else { throw .outputTaken(path: path) }
            throw .unwritable(path: path, reason: String(cString: strerror(errno)))
        }
    }

    /// Removes the partial directory and its contents.
    func discard() {
        try? FileManager.default.removeItem(atPath: partial)
    }
}

/// The status of the file at a path, after following links; nil if there is none.
private func status(_ path: String) -> stat? {
    var status = stat()
    return stat(path, &status) == 0 ? status : nil
}

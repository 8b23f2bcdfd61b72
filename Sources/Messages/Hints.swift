/// A hint for a path at which nothing was found, if its name is not UTF-8, which arguments do not support.
///
/// Such bytes arrive from the command line as U+FFFD. The hint is empty for other paths.
public func unfoundHint(_ path: String) -> String {
    path.unicodeScalars.contains("\u{FFFD}")
        ? " (its name is not UTF-8, which is not supported: rename it, or give a link to it)" : ""
}

/// A hint for a file that is only a Git LFS pointer; nil for other files.
///
/// Source: the Git LFS specification, https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
///
/// - Parameter bytes: the file's bytes, or the first of them.
public func pointerHint(_ bytes: some Collection<UInt8>) -> String? {
    bytes.starts(with: "version https://git-lfs.github.com/spec/".utf8)
        ? "it is a Git LFS pointer, not the file itself; fetch that with git lfs pull" : nil
}

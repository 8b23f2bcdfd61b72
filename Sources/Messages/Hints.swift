/// What to add where nothing was found at a path: that its name may not be UTF-8, which arguments cannot carry here.
///
/// Such bytes come from the command line as U+FFFD.
public func unfoundHint(_ path: String) -> String {
    path.unicodeScalars.contains("\u{FFFD}")
        ? " (its name is not UTF-8, which is not supported: rename it, or give a link to it)" : ""
}

/// What a file is that Git keeps elsewhere; nil for other files.
///
/// Source: the Git LFS specification, https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
///
/// - Parameter bytes: the file's bytes, or its first ones.
public func pointerHint(_ bytes: some Collection<UInt8>) -> String? {
    bytes.starts(with: "version https://git-lfs.github.com/spec/".utf8)
        ? "it is a Git LFS pointer, not the file itself; fetch that with git lfs pull" : nil
}

import Glibc

/// A line on standard error that is written over, where a person watches.
///
/// Under mpirun standard error is never a terminal; `Launch/` says in `TRIREME_PROGRESS` whether its own is one.
final class ProgressLine {
    private let isShown: Bool

    init(isShown: Bool) {
        self.isShown = isShown && (isatty(STDERR_FILENO) == 1 || getenv("TRIREME_PROGRESS") != nil)
    }

    func show(_ what: String, done: Int, of total: Int) {
        guard isShown, total > 0 else { return }
        let width = 30
        let filled = width * done / total
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
        // The end clears the line: what comes next is the text.
        let line = Array((done == total ? "\r\u{1B}[K" : "\r\(what) [\(bar)] \(done)/\(total)").utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}

import Glibc

/// A line of progress that is overwritten again and again, if standard error is a terminal.
///
/// Under mpirun a rank's standard error is never a terminal; the scripts in `Launch/` set `TRIREME_PROGRESS` if their
/// own standard error is one.
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
        // At the end the line is cleared, because the text comes next.
        let line = Array((done == total ? "\r\u{1B}[K" : "\r\(what) [\(bar)] \(done)/\(total)").utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}

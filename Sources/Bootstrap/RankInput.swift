import JobWatch
import ProgramEntry

/// Reads a whole input on a rank: a file, a pipe, or standard input if the path is `-`.
///
/// A signal that ends the program also ends the wait for input that does not come.
///
/// - Throws: the errors of `readInput`.
public func readRankInput(_ path: String) throws(RunError) -> [UInt8] {
    try readInput(path, isInterrupted: { InterruptFlag.isRaised })
}

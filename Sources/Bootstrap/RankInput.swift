import JobWatch
import ProgramEntry

/// Reads the whole of an input on a rank: a file, a pipe, or standard input for `-`.
///
/// A signal that ends the program also ends waiting for what does not come. Throws as `readInput` does.
public func readRankInput(_ path: String) throws(RunError) -> [UInt8] {
    try readInput(path, isInterrupted: { InterruptFlag.isRaised })
}

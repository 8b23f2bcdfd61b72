import CMPI
import Collectives

/// Turns a result of CMPI into an error that carries the function's name and the library's own text.
func check(_ code: Int32, _ operation: @autoclosure () -> String) throws(CommunicationError) {
    guard code != 0 else { return }
    let text = textFromC { cmpi_error_text(code, $0, $1) }
    throw .library(operation: operation(), code: Int(code), text: text)
}

/// Gives the name and version of the MPI library that this program is linked with.
public func mpiLibraryVersion() -> String {
    textFromC { cmpi_library_version($0, $1) }
}

private func textFromC(_ fill: (UnsafeMutablePointer<CChar>, Int) -> Void) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 8192) { buffer in
        guard let base = buffer.baseAddress else { return "" }
        base.pointee = 0
        fill(base, buffer.count)
        return String(cString: base)
    }
}

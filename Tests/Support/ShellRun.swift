import Foundation

extension ProgramRun {
    /// Runs a line of bash in which `$PROGRAMS` is the folder of the programs.
    ///
    /// Tests use it for standard streams that are closed, pipes or devices, and for arguments that are not text.
    ///
    /// - Parameter variables: further variables for the line, so that names need no quoting.
    public static func shell(_ line: String, _ variables: [String: String] = [:], seconds: Int = 60) throws
        -> ProgramOutcome
    {
        let folder = try TemporaryFolder()
        let (output, errors) = (try folder.write("", to: "stdout"), try folder.write("", to: "stderr"))
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/timeout")
        process.arguments = ["-k", "1", "\(seconds)", "bash", "-c", line]
        process.environment = ProcessInfo.processInfo.environment.merging(
            variables.merging(["PROGRAMS": productsPath]) { $1 }
        ) { $1 }
        process.currentDirectoryURL = URL(filePath: repositoryPath)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: URL(filePath: output))
        process.standardError = try FileHandle(forWritingTo: URL(filePath: errors))
        try process.run()
        process.waitUntilExit()
        func text(_ path: String) -> String {
            String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
        }
        let status = process.terminationStatus
        return ProgramOutcome(
            status: process.terminationReason == .uncaughtSignal ? 128 + status : status, output: text(output),
            errors: text(errors), ranOutOfTime: status == 124)
    }
}

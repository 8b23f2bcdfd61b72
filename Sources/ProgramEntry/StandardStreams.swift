@preconcurrency import Glibc

/// Occupies the numbers of standard streams that are closed.
///
/// The next file that is opened would have such a number, and results would be written into it. What stands there
/// instead refuses what the stream is for, so that reading or writing gives the error of a closed one.
func occupyClosedStreams() {
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 && errno == EBADF {
        _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
}

/// Refuses arguments that are not UTF-8: Swift would put U+FFFD into them and say nothing.
func checkArguments() throws(RunError) {
    for index in 1..<max(1, Int(CommandLine.argc)) {
        guard let pointer = CommandLine.unsafeArgv[index] else { continue }
        let bytes = UnsafeRawBufferPointer(start: pointer, count: strlen(pointer))
        let offset: Int
        do {
            _ = try UTF8Span(validating: Span(_unsafeBytes: bytes))
            continue
        } catch {
            offset = error.byteOffsets.lowerBound
        }
        let text = String(decoding: bytes, as: UTF8.self)
        let option = text.hasPrefix("--") && text.contains("=") ? text : CommandLine.arguments[index - 1]
        let name = option.hasPrefix("-") ? String(option.prefix { $0 != "=" }) : "number \(index)"
        throw RunError(
            .badInput, "the argument \(name) is not valid UTF-8 at byte \(offset); convert it to UTF-8 first")
    }
}

/// Writes all bytes.
///
/// - Returns: the error's number if that fails.
func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32? {
    var rest = bytes
    while !rest.isEmpty {
        let count = write(descriptor, rest.baseAddress, rest.count)
        if count >= 0 {
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        } else if errno == EAGAIN {
            // A stream that is shared with a terminal may have been set not to wait.
            var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            poll(&wait, 1, 500)
        } else if errno != EINTR {
            return errno
        }
    }
    return nil
}

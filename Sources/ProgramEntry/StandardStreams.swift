@preconcurrency import Glibc

/// Opens a file in place of each standard stream that is closed.
///
/// Otherwise the next file that is opened would get the stream's number, and results would be written into it. The file
/// is opened in the wrong mode on purpose, so that using the stream gives the same error as a closed one.
func occupyClosedStreams() {
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 && errno == EBADF {
        _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
}

/// Throws if an argument is not UTF-8: Swift would silently replace bytes by U+FFFD.
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
/// - Returns: the error number if that fails; else nil.
func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32? {
    var rest = bytes
    while !rest.isEmpty {
        let count = write(descriptor, rest.baseAddress, rest.count)
        if count >= 0 {
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        } else if errno == EAGAIN {
            // A stream that is shared with a terminal may have been set to non-blocking mode.
            var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            poll(&wait, 1, 500)
        } else if errno != EINTR {
            return errno
        }
    }
    return nil
}

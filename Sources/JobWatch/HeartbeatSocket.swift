import Glibc

/// A TCP connection or listener of the heartbeat, which closes with its last reference.
final class HeartbeatSocket {
    let descriptor: Int32
    private var inbox: [UInt8] = []
    private var isStuffed = false

    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
    }

    /// The outcome of a read.
    enum Reading {
        case frame(HeartbeatFrame)
        case nothing
        /// The other side has closed the connection, or has sent bytes that are no frame.
        case closed
    }

    /// Listens at a port that the system chooses.
    ///
    /// - Parameter addresses: where to listen; the first that this host has is taken.
    static func listen(
        at addresses: [InterfaceAddress]
    ) throws(HeartbeatError) -> (socket: HeartbeatSocket, port: UInt16) {
        var failure = HeartbeatError.system(operation: "listening", code: EADDRNOTAVAIL)
        for address in addresses {
            do throws(HeartbeatError) {
                return try listen(at: address)
            } catch {
                failure = error
            }
        }
        throw failure
    }

    private static func listen(
        at address: InterfaceAddress
    ) throws(HeartbeatError) -> (socket: HeartbeatSocket, port: UInt16) {
        let listener = try open(address.family)
        // At an address of IPv4 this fails, and nothing depends on it. At `::` it makes the listener take both families
        // whatever the system's default is.
        var no: Int32 = 0
        setsockopt(listener.descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &no, socklen_t(MemoryLayout<Int32>.size))
        try require(address.withSocketAddress(port: 0) { bind(listener.descriptor, $0, $1) }, "bind")
        try require(Glibc.listen(listener.descriptor, 128), "listen")
        var actual = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &actual) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener.descriptor, $0, &length) }
        }
        try require(result, "getsockname")
        let port = withUnsafeBytes(of: actual) { $0.load(fromByteOffset: AddressFamily.portOffset, as: UInt16.self) }
        return (listener, UInt16(bigEndian: port))
    }

    /// Connects; nil if there is no answer within `timeout` milliseconds.
    static func connect(to address: InterfaceAddress, port: UInt16, timeout: Int32) -> HeartbeatSocket? {
        guard let socket = try? open(address.family) else { return nil }
        let result = address.withSocketAddress(port: port) { Glibc.connect(socket.descriptor, $0, $1) }
        guard result == 0 || errno == EINPROGRESS else { return nil }
        guard result == 0 || socket.wait(for: POLLOUT, timeout: timeout) else { return nil }
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(socket.descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0, code == 0 else { return nil }
        socket.sendAtOnce()
        return socket
    }

    /// Gives the next connection to this listener, or nil if none waits.
    func accept() -> HeartbeatSocket? {
        let peer = Glibc.accept(descriptor, nil, nil)
        guard peer >= 0 else { return nil }
        _ = fcntl(peer, F_SETFD, FD_CLOEXEC)
        _ = fcntl(peer, F_SETFL, O_NONBLOCK)
        let socket = HeartbeatSocket(descriptor: peer)
        socket.sendAtOnce()
        return socket
    }

    /// Sends without waiting.
    ///
    /// A frame that does not fit is dropped: a peer that reads nothing is noticed by its silence.
    func send(_ frame: HeartbeatFrame) {
        guard !isStuffed else { return }
        let bytes = frame.bytes
        let sent = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        // After half a frame the peer would misread every later one.
        if sent > 0, sent < bytes.count { isStuffed = true }
    }

    /// Reads at most the missing bytes of one frame, without waiting.
    func read() -> Reading {
        var buffer = [UInt8](repeating: 0, count: HeartbeatFrame.byteCount)
        let count = recv(descriptor, &buffer, HeartbeatFrame.byteCount - inbox.count, Int32(MSG_DONTWAIT))
        if count < 0 {
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? .nothing : .closed
        }
        guard count > 0 else { return .closed }
        inbox += buffer.prefix(count)
        guard inbox.count == HeartbeatFrame.byteCount else { return .nothing }
        defer { inbox.removeAll(keepingCapacity: true) }
        guard let frame = HeartbeatFrame(bytes: inbox) else { return .closed }
        return .frame(frame)
    }

    /// Waits for one whole frame; nil if none comes in time.
    func awaitFrame(timeout: Int32) -> HeartbeatFrame? {
        while wait(for: POLLIN, timeout: timeout) {
            switch read() {
            case .frame(let frame): return frame
            case .nothing: continue
            case .closed: return nil
            }
        }
        return nil
    }

    private func wait(for event: Int32, timeout: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(event), revents: 0)
        var result = poll(&entry, 1, timeout)
        while result < 0, errno == EINTR { result = poll(&entry, 1, timeout) }
        return result > 0
    }

    private func sendAtOnce() {
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func open(_ family: AddressFamily) throws(HeartbeatError) -> HeartbeatSocket {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family.number, kind, 0)
        try require(descriptor, "socket")
        return HeartbeatSocket(descriptor: descriptor)
    }

    private static func require(_ result: Int32, _ operation: String) throws(HeartbeatError) {
        guard result >= 0 else { throw .system(operation: operation, code: errno) }
    }
}

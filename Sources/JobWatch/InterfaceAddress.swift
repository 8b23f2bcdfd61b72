import Glibc

/// A family of network addresses: its number, and where its socket addresses hold what is needed here.
struct AddressFamily: Equatable {
    /// The number, such as AF_INET.
    let number: Int32
    /// The bytes of an address; no two families have as many.
    let byteCount: Int
    /// The offset of the address in a socket address.
    let offset: Int
    /// The offset of the scope in a socket address; nil if the family has none.
    let scopeOffset: Int?
    /// The bytes of a socket address.
    let socketAddressByteCount: Int

    /// The offset of the port in a socket address of any family.
    static let portOffset = 2

    static let ipv4 = AddressFamily(
        number: AF_INET, byteCount: 4, offset: 4, scopeOffset: nil,
        socketAddressByteCount: MemoryLayout<sockaddr_in>.size)
    static let ipv6 = AddressFamily(
        number: AF_INET6, byteCount: 16, offset: 8, scopeOffset: 24,
        socketAddressByteCount: MemoryLayout<sockaddr_in6>.size)
    static let all = [ipv4, ipv6]
}

/// The address of an interface, of any family, and the length of its subnet's prefix.
struct InterfaceAddress: Equatable {
    let family: AddressFamily
    /// The address in network byte order.
    let bytes: [UInt8]
    /// The number of leading bits that all addresses of the subnet share.
    let prefixLength: Int
    /// The number of the interface to which a link-local address of IPv6 belongs; 0 for every other address.
    ///
    /// Link-local addresses are the same on each link, so they mean something only together with an interface of the
    /// host that uses them.
    var scope: UInt32 = 0

    /// The addresses at which only this host can be reached.
    static let loopbacks = ["127.0.0.1/8", "::1/128"].compactMap { InterfaceAddress($0) }
    /// The addresses at which to listen for all of a host's networks; the first also takes connections of IPv4.
    static let everywhere = ["::/0", "0.0.0.0/0"].compactMap { InterfaceAddress($0) }

    init(family: AddressFamily, bytes: [UInt8], prefixLength: Int, scope: UInt32 = 0) {
        (self.family, self.bytes, self.scope) = (family, bytes, scope)
        self.prefixLength = min(prefixLength, 8 * family.byteCount)
    }

    /// Reads an address with the length of its prefix, such as `10.0.0.1/8` or `fd00::1/64`; nil if it is none.
    init?(_ text: String) {
        let parts = text.split(separator: "/")
        guard parts.count == 2, let bits = UInt8(parts[1]) else { return nil }
        for family in AddressFamily.all where bits <= 8 * family.byteCount {
            var bytes = [UInt8](repeating: 0, count: family.byteCount)
            guard inet_pton(family.number, String(parts[0]), &bytes) == 1 else { continue }
            self.init(family: family, bytes: bytes, prefixLength: Int(bits))
            return
        }
        return nil
    }

    /// Reads the socket addresses of an interface and of its mask; nil if the family is none of ours.
    private init?(_ address: UnsafePointer<sockaddr>?, mask: UnsafePointer<sockaddr>?) {
        guard let address, let mask else { return nil }
        let number = Int32(address.pointee.sa_family)
        guard let family = AddressFamily.all.first(where: { $0.number == number }) else { return nil }
        func part(_ pointer: UnsafePointer<sockaddr>) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(start: UnsafeRawPointer(pointer) + family.offset, count: family.byteCount)
        }
        self.init(
            family: family, bytes: Array(part(address)),
            prefixLength: part(mask).reduce(0) { $0 + $1.nonzeroBitCount },
            scope: family.scopeOffset.map { UnsafeRawPointer(address).load(fromByteOffset: $0, as: UInt32.self) } ?? 0)
    }

    /// The address as it is usually written, with the name of its interface if it needs one.
    var text: String {
        var buffer = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        _ = withSocketAddress(port: 0) {
            getnameinfo($0, $1, &buffer, socklen_t(buffer.count), nil, 0, NI_NUMERICHOST)
        }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The address and a port as they are usually written.
    func text(port: UInt16) -> String {
        family == .ipv4 ? "\(text):\(port)" : "[\(text)]:\(port)"
    }

    /// Whether the other address is one of the same subnet.
    func isOnSubnet(of other: InterfaceAddress) -> Bool {
        prefixLength == other.prefixLength && scope == other.scope && isInside(other)
    }

    /// Whether the address belongs to the subnet of the other one.
    private func isInside(_ subnet: InterfaceAddress) -> Bool {
        family == subnet.family
            && bytes.indices.allSatisfy { index in
                let bits = subnet.prefixLength - 8 * index
                return bits <= 0 || (bytes[index] ^ subnet.bytes[index]) >> max(0, 8 - bits) == 0
            }
    }

    /// Calls `body` with the socket address of this address and a port, and with its length.
    func withSocketAddress<Result>(port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        storage.ss_family = sa_family_t(family.number)
        withUnsafeMutableBytes(of: &storage) { storage in
            storage.storeBytes(of: port.bigEndian, toByteOffset: AddressFamily.portOffset, as: UInt16.self)
            storage[family.offset...].copyBytes(from: bytes)
            if let offset = family.scopeOffset { storage.storeBytes(of: scope, toByteOffset: offset, as: UInt32.self) }
        }
        return withUnsafePointer(to: storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(family.socketAddressByteCount))
            }
        }
    }

    /// Gives the addresses of the interfaces that are up, except loopback.
    ///
    /// Link-local addresses of IPv6 are left out if there is any other. They must be tried on each interface of the
    /// other host, of which containers add many, and each attempt takes a share of the time for all.
    ///
    /// - Parameter chosen: the name of an interface, or a subnet such as `10.0.0.0/8`; nil for all interfaces.
    static func all(on chosen: String?) -> [InterfaceAddress] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        let subnet = chosen.flatMap { InterfaceAddress($0) }
        var found: [InterfaceAddress] = []
        var next = list
        while let entry = next?.pointee {
            next = entry.ifa_next
            let isUsable =
                entry.ifa_flags & UInt32(IFF_UP) != 0
                && entry.ifa_flags & UInt32(IFF_LOOPBACK) == 0
            guard isUsable, let candidate = InterfaceAddress(entry.ifa_addr, mask: entry.ifa_netmask) else { continue }
            if let chosen, chosen != String(cString: entry.ifa_name), !(subnet.map(candidate.isInside) ?? false) {
                continue
            }
            found.append(candidate)
        }
        let unscoped = found.filter { $0.scope == 0 }
        return unscoped.isEmpty ? found : unscoped
    }
}

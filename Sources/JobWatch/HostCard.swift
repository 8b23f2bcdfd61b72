import Collectives
import Glibc
import Hashing

/// The IPv4 address of an interface and the mask of its subnet, both in network byte order.
struct InterfaceAddress: Equatable {
    var address: UInt32
    var mask: UInt32

    static let loopback = InterfaceAddress(address: UInt32(0x7F00_0001).bigEndian, mask: UInt32(0xFF00_0000).bigEndian)

    /// The address as four decimal numbers.
    var text: String {
        withUnsafeBytes(of: address) { $0.map { String($0) }.joined(separator: ".") }
    }

    func isOnSubnet(of other: InterfaceAddress) -> Bool {
        mask == other.mask && address & mask == other.address & mask
    }

    /// Gives the addresses of the interfaces that are up, except loopback.
    ///
    /// - Parameter chosen: the name of an interface, or a subnet such as `10.0.0.0/8`; nil for all interfaces.
    static func all(on chosen: String?) -> [InterfaceAddress] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var found: [InterfaceAddress] = []
        var next = list
        while let entry = next?.pointee {
            next = entry.ifa_next
            let isUsable =
                entry.ifa_flags & UInt32(IFF_UP) != 0
                && entry.ifa_flags & UInt32(IFF_LOOPBACK) == 0
            guard isUsable, let address = ipv4(entry.ifa_addr), let mask = ipv4(entry.ifa_netmask) else { continue }
            let candidate = InterfaceAddress(address: address, mask: mask)
            if let chosen, chosen != String(cString: entry.ifa_name), !candidate.isInside(chosen) { continue }
            found.append(candidate)
        }
        return found
    }

    private func isInside(_ subnet: String) -> Bool {
        let parts = subnet.split(separator: "/")
        var base = in_addr()
        guard parts.count == 2, let bits = UInt32(parts[1]), bits <= 32,
            inet_pton(AF_INET, String(parts[0]), &base) == 1
        else { return false }
        let mask = (bits == 0 ? 0 : UInt32.max << (32 - bits)).bigEndian
        return address & mask == base.s_addr & mask
    }

    private static func ipv4(_ address: UnsafeMutablePointer<sockaddr>?) -> UInt32? {
        guard let address, address.pointee.sa_family == sa_family_t(AF_INET) else { return nil }
        return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { $0.pointee.sin_addr.s_addr }
    }
}

/// What a rank tells all others about its host before the heartbeat starts; rank 0 adds where it listens.
struct HostCard: Equatable {
    static let byteCount = 256
    private static let nameByteCount = 64
    private static let addressLimit = 16

    var name: String
    /// A number that is equal for two ranks exactly if each reaches the other at 127.0.0.1.
    ///
    /// It depends on the boot of the machine and on the network namespace.
    var loopbackKey: UInt64
    var port: UInt16 = 0
    /// 32 random bytes of rank 0, by which rank 0 and the others recognise each other.
    var token = [UInt8](repeating: 0, count: 32)
    var addresses: [InterfaceAddress]

    /// Makes this host's card, without port and token.
    init(interface: String?) {
        name = hostName()
        addresses = Array(InterfaceAddress.all(on: interface).prefix(Self.addressLimit))
        var key = FNV1a()
        var status = stat()
        let space = stat("/proc/self/ns/net", &status) == 0 ? UInt64(status.st_ino) : 0
        for byte in Self.bootIdentifier() { key.add(byte) }
        key.add(space)
        loopbackKey = key.value
    }

    var bytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.byteCount)
        for (index, byte) in name.utf8.prefix(Self.nameByteCount - 1).enumerated() { bytes[index] = byte }
        bytes.replaceSubrange(64..<96, with: token.prefix(32))
        bytes.withUnsafeMutableBytes { buffer in
            buffer.storeBytes(of: loopbackKey, toByteOffset: 96, as: UInt64.self)
            buffer.storeBytes(of: port, toByteOffset: 104, as: UInt16.self)
            buffer.storeBytes(of: UInt16(addresses.count), toByteOffset: 106, as: UInt16.self)
            for (index, address) in addresses.enumerated() {
                buffer.storeBytes(of: address.address, toByteOffset: 112 + 8 * index, as: UInt32.self)
                buffer.storeBytes(of: address.mask, toByteOffset: 116 + 8 * index, as: UInt32.self)
            }
        }
        return bytes
    }

    init(bytes: ArraySlice<UInt8>) {
        let bytes = Array(bytes)
        name = String(decoding: bytes[0..<Self.nameByteCount].prefix { $0 != 0 }, as: UTF8.self)
        token = Array(bytes[64..<96])
        (loopbackKey, port, addresses) = bytes.withUnsafeBytes { buffer in
            let count = min(Int(buffer.load(fromByteOffset: 106, as: UInt16.self)), Self.addressLimit)
            return (
                buffer.load(fromByteOffset: 96, as: UInt64.self), buffer.load(fromByteOffset: 104, as: UInt16.self),
                (0..<count).map {
                    InterfaceAddress(
                        address: buffer.load(fromByteOffset: 112 + 8 * $0, as: UInt32.self),
                        mask: buffer.load(fromByteOffset: 116 + 8 * $0, as: UInt32.self))
                }
            )
        }
    }

    /// Gives the cards of all ranks; every rank must call it.
    static func exchange(_ mine: HostCard, over world: any Communicator) throws(CommunicationError) -> [HostCard] {
        let all = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount * world.size, alignment: 8)
        defer { all.deallocate() }
        let sent = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 8)
        defer { sent.deallocate() }
        sent.copyBytes(from: mine.bytes)
        try world.allGather(UnsafeRawBufferPointer(sent), into: all)
        let bytes = Array(all)
        return (0..<world.size).map { HostCard(bytes: bytes[$0 * byteCount..<($0 + 1) * byteCount]) }
    }

    /// Gives the addresses at which this host should try to reach `hub`, in order.
    ///
    /// Loopback comes first on the same host, then addresses on shared subnets, then the rest.
    func routes(to hub: HostCard) -> [InterfaceAddress] {
        let near = hub.addresses.filter { address in addresses.contains { $0.isOnSubnet(of: address) } }
        let far = hub.addresses.filter { !near.contains($0) }
        return (loopbackKey == hub.loopbackKey ? [.loopback] : []) + near + far
    }

    private static func bootIdentifier() -> [UInt8] {
        let descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return Array(hostName().utf8) }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(descriptor, &bytes, bytes.count)
        return Array(bytes.prefix(max(0, count)))
    }
}

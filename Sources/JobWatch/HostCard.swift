import Collectives
import Glibc
import Hashing

/// What a rank tells all others about its host before the heartbeat starts; rank 0 adds where it listens.
struct HostCard: Equatable {
    static let byteCount = 512
    private static let nameByteCount = 64
    private static let addressLimit = 16
    /// The bytes of an address: its number of bytes, the length of the prefix, 2 free ones, the scope, and the address.
    private static let addressByteCount = 24

    var name: String
    /// A number that is equal for two ranks exactly if each reaches the other at the addresses of loopback.
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
                let place = 112 + Self.addressByteCount * index
                buffer[place] = UInt8(address.family.byteCount)
                buffer[place + 1] = UInt8(address.prefixLength)
                buffer.storeBytes(of: address.scope, toByteOffset: place + 4, as: UInt32.self)
                buffer[(place + 8)...].copyBytes(from: address.bytes)
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
                (0..<count).compactMap { index in
                    let place = 112 + Self.addressByteCount * index
                    guard let family = AddressFamily.all.first(where: { $0.byteCount == buffer[place] }) else {
                        return nil
                    }
                    return InterfaceAddress(
                        family: family, bytes: Array(buffer[place + 8..<place + 8 + family.byteCount]),
                        prefixLength: Int(buffer[place + 1]),
                        scope: buffer.load(fromByteOffset: place + 4, as: UInt32.self))
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
    /// Loopback comes first on the same host, then addresses on shared subnets, then the rest. A link-local address is
    /// tried on each interface of this host that has one.
    func routes(to hub: HostCard) -> [InterfaceAddress] {
        let candidates = hub.addresses.flatMap { address in
            guard address.scope != 0 else { return [address] }
            return addresses.filter { $0.scope != 0 }.map { mine in
                var address = address
                address.scope = mine.scope
                return address
            }
        }
        let near = candidates.filter { address in addresses.contains { $0.isOnSubnet(of: address) } }
        let far = candidates.filter { !near.contains($0) }
        return (loopbackKey == hub.loopbackKey ? InterfaceAddress.loopbacks : []) + near + far
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

import Glibc
import Hashing

/// Something that must be the same on every rank, because the ranks' answer depends on it.
public struct SharedFact: Sendable {
    /// What the fact is called in a message, after "differ in", such as `--kv-cache-dtype`.
    public let name: String
    /// The fact as a text; equal texts mean equal facts.
    public let value: String
    /// What a user should do if ranks differ.
    public let remedy: String
    /// Whether a message shows the two values, because they mean something to a reader.
    public let isShown: Bool

    /// The remedy for options that differ.
    public static let sameOptions = "start every rank with the same options"

    /// Makes a fact.
    public init(_ name: String, _ value: String, remedy: String, isShown: Bool = true) {
        self.name = name
        self.value = value
        self.remedy = remedy
        self.isShown = isShown
    }

    /// Makes a fact whose value is a digest, which messages do not show.
    public init(_ name: String, digest: UInt64, remedy: String) {
        self.init(name, "\(digest)", remedy: remedy, isShown: false)
    }
}

extension Communicator {
    /// Checks that every rank has the same facts.
    ///
    /// Every rank of the group must call it with facts of the same names. It costs one exchange of eight bytes for each
    /// fact, and two more exchanges if ranks differ.
    ///
    /// - Parameters:
    ///   - facts: what must be the same; the first one that differs is reported.
    ///   - status: the exit status of a difference.
    /// - Throws: `AgreedError`, the same on every rank, for the first fact in which ranks differ, with the lowest rank
    ///   that differs from rank 0; `CommunicationError` if the exchange itself failed.
    public func requireSame(_ facts: [SharedFact], status: Int32 = 65) throws {
        let all = try gatherAll(facts.map { WordHash(of: $0.value).value })
        for (index, fact) in facts.enumerated() {
            guard let other = all.firstIndex(where: { $0[index] != all[0][index] }) else { continue }
            let hosts = try gatherHostNames()
            let values = try gatherTexts(fact.isShown ? fact.value : "")
            let shown = fact.isShown ? " (\(values[other]) and \(values[0]))" : ""
            throw AgreedError(
                ofAll: "rank \(other) on \(hosts[other]) and rank 0 on \(hosts[0]) differ in \(fact.name)\(shown); "
                    + fact.remedy, status: status, groupSize: size)
        }
    }

    /// Gives the first 80 bytes of every rank's text, in rank order.
    private func gatherTexts(_ text: String) throws -> [String] {
        let limit = 80
        let bytes = Array(text.utf8.prefix(limit))
        return try gatherAll(bytes + [UInt8](repeating: 0, count: limit - bytes.count)).map {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}

/// Gives a hash of this program's file, so that ranks can compare their builds; 0 if the file cannot be read.
///
/// It takes some milliseconds: a release build has about 20 MB.
public func programDigest() -> UInt64 {
    let descriptor = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return 0 }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_size > 0,
        let address = mmap(nil, Int(status.st_size), PROT_READ, MAP_PRIVATE | Int32(MAP_POPULATE), descriptor, 0),
        address != MAP_FAILED
    else { return 0 }
    defer { munmap(address, Int(status.st_size)) }
    var hash = WordHash()
    hash.add(UnsafeRawBufferPointer(start: address, count: Int(status.st_size)))
    return hash.value
}

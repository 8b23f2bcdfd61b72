import Glibc
import Hashing

/// Something that every rank must hold alike, because the ranks' answer depends on it.
public struct SharedFact: Sendable {
    /// What the fact is, as a message names it after "differ in": `--kv-cache-dtype`.
    public let name: String
    /// The fact, so that equal texts mean equal facts.
    public let value: String
    /// What a user should do about ranks that differ in it.
    public let remedy: String
    /// Whether the value means something to a reader, so that a message shows both.
    public let isShown: Bool

    /// What to do about options that differ.
    public static let sameOptions = "start every rank with the same options"

    /// Makes a fact.
    public init(_ name: String, _ value: String, remedy: String, isShown: Bool = true) {
        self.name = name
        self.value = value
        self.remedy = remedy
        self.isShown = isShown
    }

    /// Makes a fact of a digest, which a message does not show.
    public init(_ name: String, digest: UInt64, remedy: String) {
        self.init(name, "\(digest)", remedy: remedy, isShown: false)
    }
}

extension Communicator {
    /// Checks that every rank holds the same facts; every rank of the group must call it with facts of the same names.
    ///
    /// Costs one exchange of eight bytes a fact, and two more where ranks differ.
    ///
    /// - Parameters:
    ///   - facts: what must be the same, in the order in which differences are looked for.
    ///   - status: the exit status of a difference.
    /// - Throws: `AgreedError`, the same on every rank, for the first fact in which ranks differ, with the lowest rank
    ///   that differs from rank 0; `CommunicationError`.
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

    /// The first bytes of every rank's text, in rank order.
    private func gatherTexts(_ text: String) throws -> [String] {
        let limit = 80
        let bytes = Array(text.utf8.prefix(limit))
        return try gatherAll(bytes + [UInt8](repeating: 0, count: limit - bytes.count)).map {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}

/// A hash over this program's file, so that ranks can see whether they run the same build; 0 if it cannot be read.
///
/// Takes some milliseconds: a release build has some 20 MB.
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

import Messages

/// The ids of spellings, and the spellings of ids.
struct Vocabulary: Sendable {
    /// The highest id that is accepted.
    static let maximumID = (1 << 24) - 1
    /// How far ids may lie beyond the number of tokens.
    ///
    /// The table of spellings is as long as the highest id, and a damaged file of a few bytes must not fill memory.
    private static let longestGap = 1 << 20

    /// The id of each spelling.
    private(set) var ids: ByteTable
    /// The entry of `ids` that spells each id, plus one; zero for ids that no token has.
    private var entries: [UInt32] = []
    /// The number of tokens, without the added ones.
    let tokenCount: Int

    /// Reads an object of spellings and ids.
    init(_ field: FileField) throws(TokenizationError) {
        guard let members = field.value.members else { throw field.fault(expected: "an object") }
        guard members.count <= Self.maximumID else { throw field.malformed("too many tokens") }
        ids = ByteTable(minimumCapacity: members.count)
        tokenCount = members.count
        for member in members {
            guard let id = member.value.integerValue, (0...Self.maximumID).contains(id) else {
                throw field.malformed("\(quoted(member.name)) has no id within 0 to \(Self.maximumID)")
            }
            do {
                try add(Array(member.name.utf8), id)
            } catch {
                throw field.malformed(error.reason)
            }
        }
    }

    /// Takes spellings with their ids.
    init(_ tokens: [(spelling: [UInt8], id: Int)]) throws(Conflict) {
        ids = ByteTable(minimumCapacity: tokens.count)
        tokenCount = tokens.count
        for token in tokens { try add(token.spelling, token.id) }
    }

    /// Takes the spellings of the ids from zero on; of equal spellings the last one's id counts.
    init(spellings: [[UInt8]]) {
        ids = ByteTable(minimumCapacity: spellings.count)
        tokenCount = spellings.count
        for (id, spelling) in spellings.enumerated() {
            ids.set(Int32(id), for: spelling)
            setEntry(of: spelling, id)
        }
    }

    /// Why a token does not fit to those before it.
    struct Conflict: Error {
        let reason: String
    }

    /// The highest id plus one.
    var count: Int { entries.count }

    /// The id of the token with this spelling.
    func id(of spelling: [UInt8]) -> Int32? {
        ids.value(of: spelling)
    }

    /// The spelling of a token.
    func spelling(of id: Int32) -> [UInt8]? {
        guard entries.indices.contains(Int(id)), entries[Int(id)] != 0 else { return nil }
        return Array(ids.key(ofEntry: Int(entries[Int(id)]) - 1))
    }

    /// Whether a new token may have this id.
    func hasRoom(for id: Int) -> Bool {
        id >= 0 && id <= Self.maximumID && id < 2 * tokenCount + Self.longestGap
    }

    /// Adds a token of `added_tokens`; its spelling replaces that of another token with the same id.
    mutating func add(_ token: AddedToken) {
        _ = ids.insert(token.id, for: token.content, 0..<token.content.count)
        setEntry(of: token.content, Int(token.id))
    }

    private mutating func add(_ spelling: [UInt8], _ id: Int) throws(Conflict) {
        guard hasRoom(for: id) else {
            throw Conflict(reason: "\(quoted(spelling[...])) has the id \(id), too high for \(tokenCount) tokens")
        }
        guard ids.insert(Int32(id), for: spelling, 0..<spelling.count) else {
            throw Conflict(reason: "\(quoted(spelling[...])) is given twice")
        }
        guard self.spelling(of: Int32(id)) == nil else {
            throw Conflict(reason: "\(quoted(spelling[...])) has the id \(id), which another token has")
        }
        setEntry(of: spelling, id)
    }

    private mutating func setEntry(of spelling: [UInt8], _ id: Int) {
        guard let entry = ids.entry(of: spelling) else { return }
        if entries.count <= id { entries += [UInt32](repeating: 0, count: id + 1 - entries.count) }
        entries[id] = UInt32(entry) + 1
    }
}

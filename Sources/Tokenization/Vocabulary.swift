import Messages

/// The ids of spellings, and the spellings of ids.
struct Vocabulary: Sendable {
    /// The highest id that is accepted: tables are as long as the highest id, and a damaged file must not fill memory.
    static let maximumID = (1 << 24) - 1

    private var ids: ByteTable
    /// Spellings by id; nil for ids that no token has.
    private(set) var spellings: [[UInt8]?] = []
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
            try add(Array(member.name.utf8), Int32(id), field)
        }
    }

    /// The highest id plus one.
    var count: Int { spellings.count }

    /// The id of the token with this spelling.
    func id(of spelling: [UInt8]) -> Int32? {
        ids.value(of: spelling)
    }

    /// The id of the token that is spelled by the bytes of `text` in `range`.
    func id(of text: [UInt8], _ range: Range<Int>) -> Int32? {
        ids.value(of: text, range)
    }

    /// The spelling of a token.
    func spelling(of id: Int32) -> [UInt8]? {
        spellings.indices.contains(Int(id)) ? spellings[Int(id)] : nil
    }

    /// Adds a token of `added_tokens`; its spelling replaces that of another token with the same id.
    mutating func add(_ token: AddedToken) {
        _ = ids.insert(token.id, for: token.content, 0..<token.content.count)
        set(token.content, token.id)
    }

    private mutating func add(_ spelling: [UInt8], _ id: Int32, _ field: FileField) throws(TokenizationError) {
        guard ids.insert(id, for: spelling, 0..<spelling.count) else {
            throw field.malformed("\(quoted(spelling[...])) is given twice")
        }
        guard self.spelling(of: id) == nil else {
            throw field.malformed("\(quoted(spelling[...])) has the id \(id), which another token has")
        }
        set(spelling, id)
    }

    private mutating func set(_ spelling: [UInt8], _ id: Int32) {
        while spellings.count <= Int(id) { spellings.append(nil) }
        spellings[Int(id)] = spelling
    }
}

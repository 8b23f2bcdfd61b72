import Messages

/// Which number each token has, and how each number is spelled.
struct Vocabulary: Sendable {
    /// Ids above this are taken for damage: the tables here are as long as the highest id.
    static let maximumID = (1 << 24) - 1

    private var ids: ByteTable
    /// Spellings by id; nil for numbers that no token has.
    private(set) var spellings: [[UInt8]?] = []
    /// How many tokens there are, without those that were added.
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

    /// The number of the token with this spelling.
    func id(of spelling: [UInt8]) -> Int32? {
        ids.value(of: spelling)
    }

    /// The number of the token that is spelled by the bytes of `text` in `range`.
    func id(of text: [UInt8], _ range: Range<Int>) -> Int32? {
        ids.value(of: text, range)
    }

    /// How a token is spelled.
    func spelling(of id: Int32) -> [UInt8]? {
        spellings.indices.contains(Int(id)) ? spellings[Int(id)] : nil
    }

    /// Adds a token that `added_tokens` names; of two with the same number this one is spelled.
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

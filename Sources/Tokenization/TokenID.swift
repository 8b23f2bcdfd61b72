/// The number of one token in a vocabulary.
public struct TokenID: Hashable, Comparable, Sendable, Codable {
    /// The number itself, as embeddings and logits are indexed by it.
    public var rawValue: Int32

    /// Wraps a plain number.
    public init(_ rawValue: Int32) {
        self.rawValue = rawValue
    }

    /// Reads a plain integer, as JSON lists of tokens have them.
    public init(from decoder: any Decoder) throws {
        rawValue = try decoder.singleValueContainer().decode(Int32.self)
    }

    /// Writes a plain integer.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    /// Orders tokens by number.
    public static func < (left: TokenID, right: TokenID) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// The number of one token in a vocabulary.
public struct TokenID: Hashable, Comparable, Sendable, Codable {
    /// The number itself, which is the token's row of the embedding and its index among the logits.
    public var rawValue: Int32

    /// Wraps a plain number.
    public init(_ rawValue: Int32) {
        self.rawValue = rawValue
    }

    /// Decodes a plain integer.
    public init(from decoder: any Decoder) throws {
        rawValue = try decoder.singleValueContainer().decode(Int32.self)
    }

    /// Encodes a plain integer.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    /// Orders tokens by number.
    public static func < (left: TokenID, right: TokenID) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// Turns tokens into text one at a time, and never shows half a character.
///
/// Bytes that do not form a character yet are held back; text that was returned is final. The work for a token does not
/// depend on how many came before.
public struct DetokenizerStream: Sendable {
    private let tokenizer: Tokenizer
    private let skippingSpecial: Bool
    private var decoder: PieceDecoder

    init(_ tokenizer: Tokenizer, _ decoder: PieceDecoder, skippingSpecial: Bool) {
        self.tokenizer = tokenizer
        self.decoder = decoder
        self.skippingSpecial = skippingSpecial
    }

    /// Takes a token and returns the text that may be shown now; "" if there is none.
    ///
    /// An id that no token has is ignored.
    public mutating func append(_ token: TokenID) -> String {
        var text: [UInt8] = []
        append(token, into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Returns what was held back, after the last token: U+FFFD for bytes that never became a character.
    public mutating func finish() -> String {
        var text: [UInt8] = []
        finish(into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    mutating func append(_ token: TokenID, into text: inout [UInt8]) {
        if skippingSpecial && tokenizer.isSpecial(token) { return }
        if let spelling = tokenizer.vocabulary.spelling(of: token.rawValue) { decoder.take(spelling, into: &text) }
    }

    mutating func finish(into text: inout [UInt8]) {
        decoder.finish(into: &text)
    }
}

/// What sentencepiece does to a text before it looks for pieces: replacements and white space, in one pass.
///
/// Source: https://github.com/google/sentencepiece, `src/normalizer.cc` (`Normalizer::Normalize`).
struct SentencePieceNormalizer: Sendable {
    /// The replacements; nil if the file has none.
    var map: CharacterMap?
    /// The pieces that are kept as they stand in the text.
    var kept = PieceTrie([])
    /// Which texts get a space in front, or at the end if `isSuffix`.
    var addedSpace = Metaspace.Scheme.always
    /// Whether spaces belong to the words before them.
    var isSuffix = false
    /// Whether spaces at both ends of a text are removed, and others beside each other become one.
    var removesExtraSpaces = true
    /// Whether a space becomes "▁".
    var escapesSpaces = true

    /// Normalizes a text; `opensText` says that nothing stands before it.
    func normalize(_ text: [UInt8], opensText: Bool) -> [UInt8] {
        var offset = 0
        if removesExtraSpaces {
            while offset < text.count {
                let (part, end) = replacement(in: text, from: offset)
                guard part.elementsEqual([0x20]) else { break }
                offset = end
            }
        }
        guard offset < text.count else { return [] }
        let space = escapesSpaces ? WordCut.space : [0x20]
        let addsSpace =
            switch addedSpace {
            case .always: true
            case .first: opensText
            case .never: false
            }
        var output: [UInt8] = []
        output.reserveCapacity(text.count + text.count / 2)
        if addsSpace && !isSuffix { output += space }
        var followsSpace = removesExtraSpaces
        while offset < text.count {
            var (part, end) = replacement(in: text, from: offset)
            offset = end
            if followsSpace { part = part.drop { $0 == 0x20 } }
            guard let last = part.last else { continue }
            for byte in part {
                if byte == 0x20 { output += space } else { output.append(byte) }
            }
            followsSpace = removesExtraSpaces && last == 0x20
        }
        if removesExtraSpaces {
            while output.count >= space.count, output[(output.count - space.count)...].elementsEqual(space) {
                output.removeLast(space.count)
            }
        }
        if addsSpace && isSuffix { output += space }
        return output
    }

    /// What the start of a text becomes, and where the rest starts.
    private func replacement(in text: [UInt8], from start: Int) -> (part: ArraySlice<UInt8>, end: Int) {
        if !kept.isEmpty, kept.hasKey(startingWith: text[start]),
            let piece = kept.longestPrefix(of: text, from: start)
        {
            return (text[start..<piece.end], piece.end)
        }
        if let map, let found = map.longest(in: text, from: start) {
            return (map.replacement(at: found.place), found.end)
        }
        let end = start + utf8Length(startingWith: text[start])
        return (text[start..<end], end)
    }
}

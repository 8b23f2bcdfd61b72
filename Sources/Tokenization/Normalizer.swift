/// A step that changes a text before it is cut into pieces.
enum Normalizer: Sendable {
    case form(NormalizationForm)
    case lowercase
    case stripAccents
    case strip(left: Bool, right: Bool)
    case prepend([UInt8])
    case replace(TextPattern, with: [UInt8])
    case byteCharacters
    case precompiled(PrecompiledNormalizer)
    /// Removes control characters, and makes other white space and invisible characters spaces.
    case nmt
    case sentencePiece(SentencePieceNormalizer)

    /// Reads the steps of a `normalizer` field.
    static func list(_ field: FileField) throws(TokenizationError) -> [Normalizer] {
        var normalizers: [Normalizer] = []
        for component in try field.flattened(membersOf: "normalizers") {
            normalizers.append(try Normalizer(component))
        }
        return normalizers
    }

    private init(_ field: FileField) throws(TokenizationError) {
        let type = try field["type"].string()
        switch type {
        case "NFC": self = .form(.nfc)
        case "NFD": self = .form(.nfd)
        case "NFKC": self = .form(.nfkc)
        case "NFKD": self = .form(.nfkd)
        case "Lowercase": self = .lowercase
        case "StripAccents": self = .stripAccents
        case "Strip":
            self = .strip(
                left: try field["strip_left"].bool(or: true), right: try field["strip_right"].bool(or: true))
        case "Prepend": self = .prepend(try field["prepend"].bytes())
        case "Replace":
            self = .replace(try TextPattern(try field["pattern"]), with: try field["content"].bytes())
        case "ByteLevel": self = .byteCharacters
        case "Nmt": self = .nmt
        case "Precompiled":
            let table = try field["precompiled_charsmap"]
            guard let bytes = base64(try table.bytes()[...]) else { throw table.malformed("it is not base64") }
            do {
                self = .precompiled(PrecompiledNormalizer(map: try CharacterMap(bytes)))
            } catch {
                throw table.malformed(error.reason)
            }
        default: throw field.unsupported("the normalizer \"\(type)\"")
        }
    }

    /// Applies this step to a text; `opensText` says that nothing stands before it.
    func normalize(
        _ text: [UInt8], opensText: Bool, _ workspace: PatternWorkspace
    ) throws(TokenizationError) -> [UInt8] {
        switch self {
        case .form(let form):
            return form.normalize(text)
        case .lowercase:
            // One character at a time, as the reference does, so that a final sigma is not treated specially.
            return mapScalars(text) { $0.properties.lowercaseMapping }
        case .stripAccents:
            return mapScalars(text) { scalar in
                switch scalar.properties.generalCategory {
                // The reference's table of marks is that of Unicode 9.
                case .nonspacingMark where scalar.isOfUnicode(9), .spacingMark where scalar.isOfUnicode(9),
                    .enclosingMark where scalar.isOfUnicode(9):
                    ""
                default: String(Character(scalar))
                }
            }
        case .strip(let left, let right):
            let scalars = String(decoding: text, as: UTF8.self).unicodeScalars[...]
            let isSpace = { (scalar: Unicode.Scalar) in scalar.properties.isWhitespace }
            let start = left ? scalars.drop(while: isSpace) : scalars
            guard right else { return Array(String(start).utf8) }
            let end = start.lastIndex { !isSpace($0) }.map { start.index(after: $0) } ?? start.startIndex
            return Array(String(start[..<end]).utf8)
        case .prepend(let prefix):
            return text.isEmpty ? text : prefix + text
        case .replace(let pattern, let replacement):
            return try pattern.replacing(in: text, with: replacement, workspace)
        case .byteCharacters:
            var spelled: [UInt8] = []
            ByteAlphabet.spell(text, 0..<text.count, into: &spelled)
            return spelled
        case .precompiled(let normalizer):
            return normalizer.normalize(text)
        case .nmt:
            return mapScalars(text, Self.nmt)
        case .sentencePiece(let normalizer):
            return normalizer.normalize(text, opensText: opensText)
        }
    }

    /// What the step `Nmt` makes of a character.
    ///
    /// Source: `tokenizers/src/normalizers/unicode.rs` (`do_nmt`).
    private static func nmt(_ scalar: Unicode.Scalar) -> String {
        switch scalar.value {
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: ""
        case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: " "
        default: String(Character(scalar))
        }
    }

    private func mapScalars(_ text: [UInt8], _ transform: (Unicode.Scalar) -> String) -> [UInt8] {
        String(decoding: text, as: UTF8.self).unicodeScalars.flatMap { transform($0).utf8 }
    }
}

extension [Normalizer] {
    /// Applies all steps to a text, in order; `opensText` says that nothing stands before it.
    func normalize(
        _ text: [UInt8], opensText: Bool, _ workspace: PatternWorkspace
    ) throws(TokenizationError) -> [UInt8] {
        var text = text
        for normalizer in self { text = try normalizer.normalize(text, opensText: opensText, workspace) }
        return text
    }
}

import JSON

/// Breaks the names of special tokens in a conversation, so that the tokenizer takes them for plain text.
///
/// A template may copy, trim, join or split what it is given, so the places of a message in the prompt are not known. But
/// the template keeps a mark inside a name. The tokenizer finds special tokens first, which the mark prevents, and then
/// takes the marks out.
struct SpecialBreaker {
    /// A character that stands nowhere else in the conversation.
    let mark: Unicode.Scalar
    /// The conversation with a mark after the first character of every name.
    let broken: Conversation

    /// - Parameter names: the spellings of the special tokens.
    /// - Throws: `noMark` if the conversation uses all characters that may be a mark.
    init(names: [String], for conversation: Conversation) throws(ChatError) {
        // Nothing can stand inside a name of one character, and no published template uses such a name.
        let names = names.map { Array($0.unicodeScalars) }.filter { $0.count > 1 }
        let starts = Dictionary(grouping: names) { $0[0] }
        var used: Set<Unicode.Scalar> = []
        _ = Self.mapTexts(of: conversation) { text in
            used.formUnion(text.unicodeScalars)
            return text
        }
        guard let mark = Self.unused(used) else { throw .noMark }
        self.mark = mark
        broken = Self.mapTexts(of: conversation) { text in
            var marked = String.UnicodeScalarView()
            let scalars = Array(text.unicodeScalars)
            for (index, scalar) in scalars.enumerated() {
                marked.append(scalar)
                // A name that the text ends inside of may go on in the next text.
                let isName = starts[scalar]?.contains { name in
                    scalars[index...].starts(with: name) || name.starts(with: scalars[index...])
                }
                if isName ?? false { marked.append(mark) }
            }
            return String(marked)
        }
    }

    /// The first character without a meaning of its own that a text does not use: one of the noncharacters, or else one of
    /// those for private use (Unicode, chapters 23.5 and 23.7).
    ///
    /// - Returns: nil if the text uses all of them.
    private static func unused(_ used: Set<Unicode.Scalar>) -> Unicode.Scalar? {
        for range in [0xFDD0...0xFDEF, 0xE000...0xF8FF, 0xF0000...0xFFFFD, 0x100000...0x10FFFD] as [ClosedRange<UInt32>]
        {
            for value in range {
                if let scalar = Unicode.Scalar(value), !used.contains(scalar) { return scalar }
            }
        }
        return nil
    }

    /// Changes all texts of messages, tools and variables, and the names of their members.
    private static func mapTexts(of conversation: Conversation, _ change: (String) -> String) -> Conversation {
        func changed(_ member: JSONMember) -> JSONMember {
            JSONMember(name: change(member.name), value: changed(member.value))
        }
        func changed(_ value: JSONValue) -> JSONValue {
            switch value {
            case .string(let text): .string(change(text))
            case .array(let elements): .array(elements.map(changed))
            case .object(let members): .object(members.map(changed))
            case .null, .bool, .number: value
            }
        }
        var result = conversation
        result.messages = conversation.messages.map(changed)
        result.tools = conversation.tools?.map(changed)
        result.variables = conversation.variables.map { JSONMember(name: $0.name, value: changed($0.value)) }
        return result
    }
}

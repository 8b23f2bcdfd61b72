import JSON

/// Breaks the names of special tokens in a conversation, so that the tokenizer takes them for plain text.
///
/// A template may copy, trim or split what it is given, so the places of a message in the prompt are not known. But the
/// template keeps a mark inside a name. The tokenizer finds special tokens first, which the mark prevents, and then takes
/// the marks out.
struct SpecialBreaker {
    /// A character that stands nowhere else in the conversation.
    let mark: Unicode.Scalar
    /// The conversation with a mark after the first character of every name.
    let broken: Conversation

    /// - Parameter names: the spellings of the special tokens.
    /// - Returns: nil if no name stands in the conversation.
    init?(names: [String], for conversation: Conversation) {
        let names = names.filter { !$0.isEmpty }.map { Array($0.unicodeScalars) }
        let starts = Dictionary(grouping: names) { $0[0] }
        // Noncharacters have no meaning in any text (Unicode, chapter 23.7).
        let candidates = (0xFDD0...0xFDEF).compactMap { Unicode.Scalar($0) }
        var used: Set<Unicode.Scalar> = []
        var isFound = false
        Self.forEachText(of: conversation) { text in
            used.formUnion(text.unicodeScalars.filter { $0.value >= 0xFDD0 && $0.value <= 0xFDEF })
        }
        guard let mark = candidates.first(where: { !used.contains($0) }) else { return nil }
        self.mark = mark
        broken = Self.mapTexts(of: conversation) { text in
            var marked = String.UnicodeScalarView()
            let scalars = Array(text.unicodeScalars)
            for (index, scalar) in scalars.enumerated() {
                marked.append(scalar)
                let isName = starts[scalar]?.contains { scalars[index...].starts(with: $0) } ?? false
                guard isName else { continue }
                marked.append(mark)
                isFound = true
            }
            return String(marked)
        }
        guard isFound else { return nil }
    }

    private static func forEachText(of conversation: Conversation, _ body: (String) -> Void) {
        _ = mapTexts(of: conversation) { text in
            body(text)
            return text
        }
    }

    /// Changes the texts of messages and tools, but not their roles and types.
    private static func mapTexts(of conversation: Conversation, _ change: (String) -> String) -> Conversation {
        func changed(_ value: JSONValue) -> JSONValue {
            switch value {
            case .string(let text): .string(change(text))
            case .array(let elements): .array(elements.map(changed))
            case .object(let members):
                .object(
                    members.map { member in
                        ["role", "type"].contains(member.name)
                            ? member : JSONMember(name: member.name, value: changed(member.value))
                    })
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

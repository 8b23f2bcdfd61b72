import ArgumentParser
import Chat
import JSON
import ProgramEntry
import Tokenization

/// The options of conversations.
public struct ChatArguments: ParsableArguments {
    @Flag(help: "Take the text for a user's message, and put it into the model's chat template.")
    public var chat = false

    @Option(parsing: .unconditional, help: "With --chat: a system message before it.")
    public var system: String?

    @Option(help: ArgumentHelp("With --chat: a JSON array of tools that the model may call.", valueName: "file"))
    public var tools: String?

    @Option(help: ArgumentHelp("With --chat: a template instead of the model's.", valueName: "file"))
    public var chatTemplate: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "With --chat: more variables for the template, such as {\"enable_thinking\": false}.",
            valueName: "json object"))
    public var chatTemplateKwargs: String?

    public init() {}

    public mutating func validate() throws {
        let others = [
            ("--system", system), ("--tools", tools), ("--chat-template", chatTemplate),
            ("--chat-template-kwargs", chatTemplateKwargs),
        ]
        if !chat, let (name, _) = others.first(where: { $0.1 != nil }) {
            throw ValidationError("\(name) needs --chat.")
        }
        guard let chatTemplateKwargs else { return }
        guard let variables = Self.members(of: chatTemplateKwargs) else {
            throw ValidationError("--chat-template-kwargs must be a JSON object, not '\(chatTemplateKwargs)'.")
        }
        if let taken = variables.first(where: { ["messages", "tools"].contains($0.name) }) {
            throw ValidationError("--chat-template-kwargs may not give \(taken.name), which other options give.")
        }
    }

    private static func members(of text: String) -> [JSONMember]? {
        (try? JSONValue(parsing: Array(text.utf8), as: .strict))?.members
    }

    /// Reads what conversations with a model need.
    ///
    /// - Parameters:
    ///   - directory: the model's directory; nil: it has none.
    ///   - recognizesSpecial: whether names of special tokens in messages stand for these tokens.
    ///   - read: reads the file of tools.
    /// - Throws: `ChatError`; `RunError` with status 66 if the model has no template.
    public func format(
        of directory: String?, tokenizer: Tokenizer, recognizesSpecial: Bool, read: (String) throws -> [UInt8]
    ) throws -> ChatFormat {
        let template =
            if let chatTemplate { try ChatTemplate(file: chatTemplate, of: directory) } else {
                try directory.flatMap { try ChatTemplate(of: $0) }
            }
        guard let template else {
            throw RunError(
                .missingInput,
                "\(directory ?? "the model") has no chat template; give one with --chat-template, or leave out --chat and write the prompt as "
                    + "the model expects it")
        }
        var start = Conversation(variables: chatTemplateKwargs.flatMap(Self.members) ?? [])
        if let tools { start.tools = try Self.list(of: tools, read(tools)) }
        if let system { start.add(role: "system", system) }
        return ChatFormat(
            template: template, tokenizer: tokenizer, start: start, recognizesSpecial: recognizesSpecial)
    }

    private static func list(of path: String, _ bytes: [UInt8]) throws -> [JSONValue] {
        do throws(JSONProblem) {
            let value = try JSONValue(parsing: bytes, as: .strict)
            if let tools = ChatFormat.tools(value) { return tools }
        } catch {
            throw RunError(.badInput, "\(path): it is not JSON: \(error)")
        }
        throw RunError(.badInput, "\(path): it is no JSON array of objects, each of which describes a tool")
    }
}

/// How conversations with a model become tokens.
public struct ChatFormat: Sendable {
    public let template: ChatTemplate
    public let tokenizer: Tokenizer
    /// What every conversation begins with: tools, variables and the system message.
    public let start: Conversation
    public let recognizesSpecial: Bool

    /// A conversation that a line of input describes.
    ///
    /// - Parameter value: a user's message as a string; an array of messages; or an object with `prompt` or `messages`,
    ///   and perhaps `tools`. Such messages begin the conversation if they have a system message of their own.
    /// - Returns: nil for anything else.
    public func conversation(_ value: JSONValue) -> Conversation? {
        var conversation = start
        if let tools = value["tools"], tools != .null {
            guard let tools = Self.tools(tools) else { return nil }
            conversation.tools = tools
        }
        if let text = value.stringValue ?? value["prompt"]?.stringValue {
            guard value["messages"] == nil else { return nil }
            conversation.add(role: "user", text)
            return conversation
        }
        guard let messages = value.elements ?? value["messages"]?.elements, !messages.isEmpty,
            messages.allSatisfy({ $0["role"]?.stringValue != nil })
        else { return nil }
        if messages[0]["role"]?.stringValue == "system" { conversation.messages = [] }
        conversation.messages += messages
        return conversation
    }

    /// A list of objects that describe tools; nil for anything else.
    static func tools(_ value: JSONValue) -> [JSONValue]? {
        value.elements.flatMap { $0.allSatisfy { $0.members != nil } ? $0 : nil }
    }

    /// The tokens of a prompt for the model's next message.
    ///
    /// - Throws: `ChatError`.
    public func encode(_ conversation: Conversation) throws(ChatError) -> [TokenID] {
        try template.encode(conversation, by: tokenizer, recognizesSpecial: recognizesSpecial)
    }
}

import Glibc
import JSON
import Jinja
import Messages
import Tokenization

/// A model's chat template: the text that makes a prompt of a conversation, in the language of Jinja.
///
/// It is rendered as transformers renders it (`apply_chat_template`).
public struct ChatTemplate: Sendable {
    /// The file that holds the template.
    public let path: String
    private let standard: Template?
    /// The template for conversations with tools, if the model has another one for them.
    private let withTools: Template?
    /// The model's special tokens by their names in templates, such as `bos_token`.
    private let tokens: [String: JSONValue]

    /// The template of a model's directory; nil if it has none.
    ///
    /// `chat_template.jinja` counts before `chat_template` in `tokenizer_config.json`, and this before
    /// `chat_template.json`.
    ///
    /// - Throws: `unreadable`, `malformed` or `template`.
    public init?(of directory: String) throws(ChatError) {
        let tokens = try Self.tokens(of: directory)
        let bare = directory + "/chat_template.jinja"
        if let text = try readText(bare) {
            try self.init(path: bare, templates: [("default", text)] + Self.additional(in: directory), tokens)
            return
        }
        for name in ["tokenizer_config.json", "chat_template.json"] {
            guard let file = try ChatFile("\(directory)/\(name)"), let templates = try file.templates() else {
                continue
            }
            try self.init(path: file.path, templates: templates, tokens)
            return
        }
        return nil
    }

    /// The special tokens of a model's directory: those of `special_tokens_map.json`, and before them those of
    /// `tokenizer_config.json`.
    private static func tokens(of directory: String) throws(ChatError) -> [String: JSONValue] {
        var tokens: [String: JSONValue] = [:]
        for name in ["special_tokens_map.json", "tokenizer_config.json"] {
            guard let file = try ChatFile("\(directory)/\(name)") else { continue }
            tokens.merge(try file.tokens()) { $1 }
        }
        return tokens
    }

    /// The template of a file, with the special tokens of a model's directory.
    ///
    /// - Parameter directory: nil: the model has no special tokens.
    /// - Throws: `unreadable`, `malformed` or `template`.
    public init(file path: String, of directory: String?) throws(ChatError) {
        guard let text = try readText(path) else { throw .unreadable(path: path, reason: "there is no such file") }
        var tokens: [String: JSONValue] = [:]
        if let directory { tokens = try Self.tokens(of: directory) }
        try self.init(path: path, templates: [("default", text)], tokens)
    }

    private init(
        path: String, templates: [(name: String, text: String)], _ tokens: [String: JSONValue]
    ) throws(ChatError) {
        self.path = path
        self.tokens = tokens
        func template(_ name: String) throws(ChatError) -> Template? {
            guard let text = templates.first(where: { $0.name == name })?.text else { return nil }
            do { return try Template(text) } catch { throw .template(path: path, error) }
        }
        standard = try template("default")
        withTools = try template("tool_use")
        guard standard != nil || withTools != nil else {
            throw .malformed(path: path, reason: "it has no template named default or tool_use")
        }
    }

    /// The templates beside `chat_template.jinja`.
    private static func additional(in directory: String) throws(ChatError) -> [(name: String, text: String)] {
        let text = try readText(directory + "/additional_chat_templates/tool_use.jinja")
        return text.map { [("tool_use", $0)] } ?? []
    }

    /// Makes a prompt of a conversation.
    ///
    /// - Parameters:
    ///   - addsGenerationPrompt: whether the prompt ends with what begins the model's answer.
    ///   - now: the time that the template may print.
    /// - Throws: `template`; its kind is `raised` if the template refuses the conversation.
    public func render(
        _ conversation: Conversation, addsGenerationPrompt: Bool = true, now: LocalTime = .now()
    ) throws(ChatError) -> String {
        let chosen = conversation.tools == nil ? standard : withTools ?? standard
        guard let chosen else {
            throw .malformed(path: path, reason: "it has a template for conversations with tools only")
        }
        var context = tokens
        context["documents"] = .null
        context["add_generation_prompt"] = .bool(addsGenerationPrompt)
        for variable in conversation.variables { context[variable.name] = variable.value }
        context["messages"] = .array(conversation.messages)
        context["tools"] = conversation.tools.map { .array($0) } ?? .null
        do { return try chosen.render(context, now: now) } catch { throw .template(path: path, error) }
    }

    /// Makes a prompt of a conversation, as tokens.
    ///
    /// - Parameter recognizesSpecial: whether names of special tokens in messages and tools stand for these tokens.
    ///   Otherwise they are plain text, so that nobody can end his message and speak for another.
    /// - Throws: `template`, `tokenization`, `noMark`.
    public func encode(
        _ conversation: Conversation, by tokenizer: Tokenizer, recognizesSpecial: Bool = false,
        addsGenerationPrompt: Bool = true, now: LocalTime = .now()
    ) throws(ChatError) -> [TokenID] {
        var breaker: SpecialBreaker?
        if !recognizesSpecial { breaker = try SpecialBreaker(names: tokenizer.specialSpellings, for: conversation) }
        let text = try render(
            breaker?.broken ?? conversation, addsGenerationPrompt: addsGenerationPrompt, now: now)
        do {
            return try tokenizer.encode(text, special: .off, breaking: breaker?.mark)
        } catch {
            throw .tokenization(error)
        }
    }
}

/// A conversation, as templates take it.
public struct Conversation: Equatable, Sendable {
    /// Objects with at least `role` and `content`, in the order of the conversation.
    public var messages: [JSONValue]
    /// Descriptions of the tools that the model may call; nil: none.
    public var tools: [JSONValue]?
    /// More variables for the template, such as `enable_thinking`.
    public var variables: [JSONMember]

    public init(messages: [JSONValue] = [], tools: [JSONValue]? = nil, variables: [JSONMember] = []) {
        self.messages = messages
        self.tools = tools
        self.variables = variables
    }

    /// Adds a message of plain text.
    public mutating func add(role: String, _ content: String) {
        messages.append(
            .object([
                JSONMember(name: "role", value: .string(role)), JSONMember(name: "content", value: .string(content)),
            ]))
    }
}

/// An error of a chat template.
public enum ChatError: Error, CustomStringConvertible {
    case unreadable(path: String, reason: String)
    case malformed(path: String, reason: String)
    case template(path: String, TemplateError)
    case tokenization(TokenizationError)
    /// A conversation uses every character that may mark names of special tokens as plain text.
    case noMark

    public var description: String {
        switch self {
        case .unreadable(let path, let reason): "\(escaped(path)): \(escaped(reason))"
        case .malformed(let path, let reason): "\(escaped(path)): \(escaped(reason))"
        case .template(let path, let error): "\(escaped(path)): \(error)"
        case .tokenization(let error): "the conversation: \(error)"
        case .noMark:
            "the conversation uses all noncharacters and all characters for private use, so that names of special tokens in "
                + "it cannot be told from those of the template; leave some of them out"
        }
    }
}

/// Reads a text; nil if there is no such file.
private func readText(_ path: String) throws(ChatError) -> String? {
    guard let bytes = try readBytes(path) else { return nil }
    guard let text = String(validating: bytes, as: UTF8.self) else {
        throw .malformed(path: path, reason: "it is not UTF-8")
    }
    return text
}

/// Reads a file that is not longer than any template or its settings; nil if there is no such file.
private func readBytes(_ path: String) throws(ChatError) -> [UInt8]? {
    guard let file = fopen(path, "rbe") else {
        let code = errno
        guard code != ENOENT, code != ENOTDIR else { return nil }
        throw .unreadable(path: path, reason: String(cString: strerror(code)))
    }
    defer { fclose(file) }
    let longest = 64 << 20
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&chunk, 1, chunk.count, file)
        guard ferror(file) == 0 else { throw .unreadable(path: path, reason: String(cString: strerror(errno))) }
        guard count > 0 else { return bytes }
        bytes += chunk[..<count]
        guard bytes.count <= longest else { throw .malformed(path: path, reason: "it is longer than \(longest) bytes") }
    }
}

/// A JSON file beside a tokenizer.
private struct ChatFile {
    let path: String
    private let value: JSONValue

    /// nil if there is no such file.
    init?(_ path: String) throws(ChatError) {
        guard let bytes = try readBytes(path) else { return nil }
        self.path = path
        do {
            value = try JSONValue(parsing: bytes, as: .python)
        } catch {
            throw .malformed(path: path, reason: "it is not JSON: \(error)")
        }
    }

    /// The templates, by name; nil if the file has none.
    func templates() throws(ChatError) -> [(name: String, text: String)]? {
        guard let found = value["chat_template"], found != .null else { return nil }
        if let text = found.stringValue { return [("default", text)] }
        guard let elements = found.elements else {
            throw .malformed(path: path, reason: "\"chat_template\" is neither a string nor a list")
        }
        var templates: [(name: String, text: String)] = []
        for element in elements {
            guard let name = element["name"]?.stringValue, let text = element["template"]?.stringValue else {
                throw .malformed(path: path, reason: "an element of \"chat_template\" has no name or no template")
            }
            templates.append((name, text))
        }
        return templates
    }

    /// The special tokens by the names that templates use, each a string or an object with its `content`.
    func tokens() throws(ChatError) -> [String: JSONValue] {
        var tokens: [String: JSONValue] = [:]
        for name in ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"] {
            guard let token = value[name], token != .null else { continue }
            guard let spelling = token.stringValue ?? token["content"]?.stringValue else {
                throw .malformed(path: path, reason: "\"\(name)\" is neither a string nor an object with \"content\"")
            }
            tokens[name] = .string(spelling)
        }
        return tokens
    }
}

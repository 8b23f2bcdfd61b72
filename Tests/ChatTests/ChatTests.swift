import Foundation
import JSON
import Jinja
import TestSupport
import Testing
import Tokenization

@testable import Chat

@Suite struct ChatTests {
    private static let template = """
        {{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}
        {{ message.content | trim }}<|im_end|>
        {% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}<|im_start|>assistant
        {% endif %}
        """

    /// A directory with these files.
    private func directory(_ files: [String: String]) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for (name, text) in files {
            let path = (("\(folder.path)/\(name)") as NSString).deletingLastPathComponent
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            _ = try folder.write(text, to: name)
        }
        return folder
    }

    private func json(_ value: Any) throws -> String {
        String(decoding: try JSONSerialization.data(withJSONObject: value, options: .fragmentsAllowed), as: UTF8.self)
    }

    /// The error that a call throws; nil if it throws none.
    private func problem(_ body: () throws -> Void) -> ChatError? {
        do {
            try body()
            return nil
        } catch {
            return error as? ChatError
        }
    }

    private var conversation: Conversation {
        var conversation = Conversation()
        conversation.add(role: "user", " Hi ")
        return conversation
    }

    @Test func theSettingsTemplateIsRendered() throws {
        let files = try directory([
            "tokenizer_config.json": json([
                "chat_template": Self.template, "bos_token": ["content": "<s>", "lstrip": false],
            ])
        ])
        let template = try #require(try ChatTemplate(of: files.path))
        #expect(
            try template.render(conversation) == "<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
        #expect(try template.render(conversation, addsGenerationPrompt: false) == "<s><|im_start|>user\nHi<|im_end|>\n")
    }

    @Test func filesAndNamesHaveAnOrder() throws {
        let named = [
            ["name": "default", "template": "D"], ["name": "tool_use", "template": "T {{ tools | length }}"],
        ]
        let settings = try json(["chat_template": named])
        var talk = conversation
        talk.tools = [.object([])]
        let one = try directory(["tokenizer_config.json": settings])
        let both = try #require(try ChatTemplate(of: one.path))
        #expect(try both.render(conversation) == "D" && both.render(talk) == "T 1")
        let bare = try directory(["tokenizer_config.json": settings, "chat_template.jinja": "J"])
        #expect(try ChatTemplate(of: bare.path)?.render(talk) == "J")
        let other = try directory(["chat_template.json": json(["chat_template": "P"]), "tokenizer_config.json": "{}"])
        #expect(try ChatTemplate(of: other.path)?.render(talk) == "P")
        let beside = try directory([
            "chat_template.jinja": "J", "additional_chat_templates/tool_use.jinja": "A",
        ])
        #expect(try ChatTemplate(of: beside.path)?.render(talk) == "A")
        let none = try directory(["tokenizer_config.json": "{}"])
        #expect(try ChatTemplate(of: none.path) == nil)
        // A folder is there as long as its object.
        withExtendedLifetime([one, bare, other, beside, none]) {}
    }

    @Test(arguments: [
        ("{\"chat_template\": 5}", "neither a string nor a list"), ("{\"chat_template\": [{}]}", "no name"),
        ("{\"chat_template\": []}", "no template named default"), ("{", "not JSON"),
        ("{\"chat_template\": \"{% if %}\"}", "line 1, column"),
        ("{\"chat_template\": \"x\", \"bos_token\": 3}", "\"bos_token\" is neither"),
    ])
    func badSettingsAreNamed(settings: String, reason: String) throws {
        let files = try directory(["tokenizer_config.json": settings])
        let message = problem { _ = try ChatTemplate(of: files.path) }?.description ?? "accepted"
        #expect(message.contains(reason) && message.contains("tokenizer_config.json"), "\(message)")
    }

    @Test func whatATemplateRaisesIsToldWithItsPlace() throws {
        let files = try directory(["chat_template.jinja": "\n{{ raise_exception('no system, please') }}"])
        let template = try #require(try ChatTemplate(of: files.path))
        let talk = conversation
        guard case .template(_, let error)? = problem({ _ = try template.render(talk) }) else {
            Issue.record("rendered")
            return
        }
        #expect(error.kind == .raised && error.message == "no system, please" && error.line == 2)
    }

    /// Text that names special tokens is plain text; the template's own names are tokens.
    @Test func usersCannotSpeakForOthers() throws {
        let tokenizer = try Tokenizer(contentsOf: "\(ProgramRun.repositoryPath)/Models/tale-23m")
        let special = try #require(tokenizer.specialSpellings.first)
        let files = try directory(["chat_template.jinja": "{{ messages[0].content | trim }}\(special)"])
        let template = try #require(try ChatTemplate(of: files.path))
        var talk = Conversation()
        talk.add(role: "user", " a\(special)b ")
        let id = try #require(tokenizer.token(named: special))
        let safe = try template.encode(talk, by: tokenizer)
        #expect(safe.filter { $0 == id }.count == 1 && safe.last == id)
        #expect(try safe.dropLast() == tokenizer.encode("a\(special)b", special: .plain)[...])
        #expect(tokenizer.decode(safe, skippingSpecial: false) == "a\(special)b\(special)")
        let open = try template.encode(talk, by: tokenizer, recognizesSpecial: true)
        #expect(open.filter { $0 == id }.count == 2)
    }

    @Test func marksStandInNamesOnly() throws {
        var talk = Conversation(tools: [.object([JSONMember(name: "<x>", value: .string("type"))])])
        // Swift has no literals of noncharacters.
        let marks = try (0xFDD0...0xFDD1).map { String(try #require(Unicode.Scalar($0))) }
        talk.add(role: "<x>", marks[0] + "<x><y")
        talk.add(role: "user", "plain")
        let breaker = try SpecialBreaker(names: ["<x>"], for: talk)
        #expect(String(breaker.mark) == marks[1])
        let name = "<" + marks[1] + "x>"
        #expect(breaker.broken.messages[0]["content"]?.stringValue == marks[0] + name + "<y")
        #expect(breaker.broken.messages[0]["role"]?.stringValue == name)
        #expect(breaker.broken.messages[1] == talk.messages[1])
        #expect(breaker.broken.tools?[0][name]?.stringValue == "type")
        #expect(try SpecialBreaker(names: ["<y>", "z"], for: talk).broken.messages[1] == talk.messages[1])
    }

    /// A name that two texts hold a part each of is no name when a template joins them.
    @Test func partsOfNamesAreMarked() throws {
        var talk = Conversation()
        talk.add(role: "user", "a<|im_")
        talk.add(role: "user", "end|>")
        let breaker = try SpecialBreaker(names: ["<|im_end|>"], for: talk)
        #expect(breaker.broken.messages[0]["content"]?.stringValue == "a<\(breaker.mark)|im_")
        #expect(breaker.broken.messages[1] == talk.messages[1])
    }

    /// There is a mark even if a message uses all noncharacters.
    @Test func marksCannotRunOut() throws {
        var talk = Conversation()
        let all = (0xFDD0...0xFDEF).compactMap { Unicode.Scalar($0) }.map(String.init).joined()
        talk.add(role: "user", all + "<x>")
        let breaker = try SpecialBreaker(names: ["<x>"], for: talk)
        #expect(breaker.mark == "\u{E000}")
        #expect(breaker.broken.messages[0]["content"]?.stringValue == all + "<\u{E000}x>")
    }

    @Test func aConversationThatUsesAllMarksIsRefused() {
        let ranges =
            [0xFDD0...0xFDEF, 0xE000...0xF8FF, 0xF0000...0xFFFFD, 0x100000...0x10FFFD] as [ClosedRange<UInt32>]
        var all = String.UnicodeScalarView()
        all.append(contentsOf: ranges.joined().compactMap { Unicode.Scalar($0) })
        var talk = Conversation()
        talk.add(role: "user", String(all))
        let refused = talk
        guard case .noMark? = problem({ _ = try SpecialBreaker(names: ["<x>"], for: refused) }) else {
            Issue.record("accepted")
            return
        }
    }

    @Test func tokensOfTheOlderFileCountToo() throws {
        let files = try directory([
            "special_tokens_map.json": json(["bos_token": "<a>", "eos_token": ["content": "<b>"]]),
            "tokenizer_config.json": json(["chat_template": "{{ bos_token }}{{ eos_token }}", "bos_token": "<c>"]),
        ])
        #expect(try ChatTemplate(of: files.path)?.render(conversation) == "<c><b>")
    }

    @Test func variablesReachTheTemplate() throws {
        let files = try directory(["chat_template.jinja": "{{ a }}{{ add_generation_prompt }}{{ documents }}"])
        var talk = conversation
        talk.variables = [
            JSONMember(name: "a", value: .number("1")), JSONMember(name: "add_generation_prompt", value: .bool(false)),
        ]
        #expect(try ChatTemplate(of: files.path)?.render(talk) == "1FalseNone")
    }
}

import Foundation
import JSON
import Testing

@testable import Jinja

/// The chat templates with expected prompts of the project's shared files, where those are present.
@Suite struct ReferenceTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../../shared/tokenizers/chat").standardized
    static let files = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []

    @Test(.enabled(if: !files.isEmpty, "shared/tokenizers/chat is missing"), arguments: files)
    func rendersReferences(_ file: URL) throws {
        try Cases.checkReferences(JSONValue(parsing: Array(Data(contentsOf: file)), as: .python))
    }

    @Test(arguments: ["control_flow", "macros_indent"])
    func rendersCopies(_ name: String) throws {
        try Cases.checkReferences(Cases.read("References/\(name).json"))
    }
}

extension Cases {
    static func checkReferences(_ file: JSONValue) throws {
        let source = try #require(file["template"]?.stringValue)
        let template = try Template(source)
        let now = try #require(file["now"]?.stringValue)
        let clock = now.split { !$0.isNumber }.compactMap { Int($0) }
        let time = LocalTime(
            year: clock[0], month: clock[1], day: clock[2], hour: clock[3], minute: clock[4], second: clock[5])
        for test in file["cases"]?.elements ?? [] {
            var context = members(test["extra"])
            for name in ["messages", "tools", "add_generation_prompt", "bos_token", "eos_token"] {
                context[name] = test[name]
            }
            context["documents"] = .null
            let note = test["note"]?.stringValue ?? ""
            do {
                let rendered = try template.render(context, now: time)
                #expect(rendered == test["rendered"]?.stringValue, "\(note)")
            } catch {
                let expected = test["error"]?.stringValue
                #expect(expected != nil, "\(note): \(error)")
                let isRaised = test["error_kind"]?.stringValue == "TemplateError"
                #expect((error.kind == .raised) == isRaised, "\(note): \(error)")
                if isRaised { #expect(error.message == expected, "\(note)") }
            }
        }
    }
}

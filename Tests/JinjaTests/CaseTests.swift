import Foundation
import JSON
import Testing

@testable import Jinja

/// Templates with what Python's Jinja gives for them; `Tests/Golden/chat/make_cases.py` writes them from
/// `cases.txt`.
@Suite struct CaseTests {
    @Test func rendersAsJinjaDoes() throws { try check(Cases.read("cases.json")) }

    /// A file of more cases, such as one that `fuzz_cases.py` writes.
    static let moreCases = ProcessInfo.processInfo.environment["JINJA_CASES"]

    @Test(.enabled(if: moreCases != nil, "needs a file of cases in JINJA_CASES"))
    func rendersMoreAsJinjaDoes() throws { try check(Cases.read(#require(Self.moreCases))) }

    private func check(_ file: JSONValue) throws {
        let context = Cases.members(file["context"])
        for test in file["cases"]?.elements ?? [] {
            let source = test["template"]?.stringValue ?? ""
            let outcome = Cases.render(source, test["context"].map { Cases.members($0) } ?? context)
            if let expected = test["rendered"]?.stringValue {
                #expect(outcome == .rendered(expected), "\(source)")
            } else if case .failed(let error) = outcome {
                #expect(Cases.matches(error, test), "\(source): \(error)")
            } else {
                Issue.record("\(source) gives \(outcome), not an error")
            }
        }
    }
}

enum Cases {
    static let now = LocalTime(year: 2026, month: 1, day: 2, hour: 3, minute: 4, second: 5)

    enum Outcome: Equatable {
        case rendered(String)
        case failed(TemplateError)
    }

    static func read(_ name: String) throws -> JSONValue {
        let path =
            name.hasPrefix("/")
            ? URL(filePath: name)
            : URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "../Golden/chat/\(name)").standardized
        return try JSONValue(parsing: Array(Data(contentsOf: path)), as: .python)
    }

    static func members(_ value: JSONValue?) -> [String: JSONValue] {
        Swift.Dictionary(uniqueKeysWithValues: (value?.members ?? []).map { ($0.name, $0.value) })
    }

    static func render(
        _ source: String, _ context: [String: JSONValue], now: LocalTime = now, limits: RenderLimits = RenderLimits()
    ) -> Outcome {
        do {
            return .rendered(try Template(source).render(context, now: now, limits: limits))
        } catch {
            return .failed(error)
        }
    }

    /// Whether an error is of the kind that Jinja gives, and says the same where that matters.
    static func matches(_ error: TemplateError, _ test: JSONValue) -> Bool {
        let message = test["message"]?.stringValue
        return switch test["error"]?.stringValue {
        case "raised": error.kind == .raised && error.message == message
        case "undefined": error.kind == .undefined && error.message == message
        case "any": true
        case "security": error.kind == .security
        case "syntax": [.syntax, .unsupported].contains(error.kind)
        default: [.operation, .limit, .unsupported].contains(error.kind)
        }
    }
}

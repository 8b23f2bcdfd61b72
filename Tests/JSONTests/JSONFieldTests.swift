import JSON
import Testing

/// The typed reader: a value of the right kind and range, or a fault that names the field.
@Suite struct JSONFieldTests {
    private struct Fault: JSONFieldFailure, Equatable {
        let text: String

        init(_ fault: JSONFault) { text = "\(fault.file): \(fault.field) \(fault.reason)" }
    }

    private func root(_ text: String) throws -> JSONField<Fault> {
        JSONField(try JSONValue(parsing: Array(text.utf8), as: .python), file: "f.json")
    }

    private func fault(_ body: () throws(Fault) -> Void) -> String? {
        do {
            try body()
            return nil
        } catch {
            return error.text
        }
    }

    @Test func valuesOfTheRightKindAreRead() throws {
        let root = try root(
            """
            {"a": {"b": [1, 2.0, 3e1]}, "t": true, "s": "x", "n": -0.5, "none": null, "twice": 1, "twice": 2}
            """)
        let list = try root["a"]["b"].elements()
        #expect(try list.map { element throws(Fault) in try element.integer(in: 0...30) } == [1, 2, 30])
        #expect(list[2].name == "a.b[2]" && list[2].file == "f.json")
        #expect(try root["t"].bool() && root["s"].string() == "x" && root["n"].number(in: -1...0) == -0.5)
        #expect(try root.members().map(\.key) == ["a", "t", "s", "n", "none", "twice", "twice"])
        #expect(try root["twice"].integer(in: 0...9) == 2)
        for key in ["none", "other"] {
            let field = try root[key]
            #expect(field.isAbsent && field.ifPresent == nil && field.name == key)
        }
    }

    @Test func faultsNameFieldValueAndExpectation() throws {
        let root = try root(#"{"a": {"b": [1, "x\n"]}, "n": 1.5, "big": 1e400, "nan": NaN}"#)
        let second = try root["a"]["b"].elements()[1]
        let whole = "it must be a whole number from 1 to 8"
        let expected: [(String, () throws(Fault) -> Void)] = [
            (#"a.b[1] is "x\n"; \#(whole)"#, { () throws(Fault) in _ = try second.integer(in: 1...8) }),
            ("n is 1.5; \(whole)", { () throws(Fault) in _ = try root["n"].integer(in: 1...8) }),
            ("big is 1e400; \(whole)", { () throws(Fault) in _ = try root["big"].integer(in: 1...8) }),
            ("c is missing; \(whole)", { () throws(Fault) in _ = try root["c"].integer(in: 1...8) }),
            (
                "nan is NaN; it must be a number from 0.0 to 1.0",
                { () throws(Fault) in _ = try root["nan"].number(in: 0...1) }
            ),
            ("a is an object; it must be a number", { () throws(Fault) in _ = try root["a"].number(in: 0...1) }),
            ("a is an object; it must be a list", { () throws(Fault) in _ = try root["a"].elements() }),
            ("a.b is a list; it must be an object", { () throws(Fault) in _ = try root["a"]["b"]["c"] }),
            ("n is 1.5; it must be a string", { () throws(Fault) in _ = try root["n"].string() }),
            ("n is 1.5; it must be true or false", { () throws(Fault) in _ = try root["n"].bool() }),
        ]
        for (text, body) in expected { #expect(fault(body) == "f.json: " + text) }
    }
}

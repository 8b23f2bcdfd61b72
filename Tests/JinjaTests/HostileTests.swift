import Foundation
import JSON
import Synchronization
import TestSupport
import Testing

@testable import Jinja

/// Templates that are damaged or made to do harm: each is an error, never a crash, and none takes long.
@Suite struct HostileTests {
    private static func kind(_ source: String, limits: RenderLimits = RenderLimits()) -> TemplateError.Kind? {
        if case .failed(let error) = Cases.render(source, [:], limits: limits) { error.kind } else { nil }
    }

    @Test(arguments: [
        "{{ 'a' * 10**9 }}", "{{ [1] * 10**12 }}", "{{ 'ab' * 9223372036854775807 }}", "{{ range(10**12) | list }}",
        "{{ range(-9223372036854775807, 9223372036854775807) }}",
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('a', 'aa') %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ 'text that is put out' }}{% endfor %}{% endfor %}",
        "{{ 'a' | center(10**10) }}", "{{ 'a'.ljust(10**10) }}", "{{ 'a'.zfill(10**10) }}",
        "{{ 'a' | indent(10**10) }}",
        "{{ '%1000000000d' % 1 }}", "{{ '%.1000000000f' % 1 }}", "{{ '%*d' % (10**12, 1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:.1000000000f}'.format(1.5) }}", "{{ '{:1000000000,}'.format(1) }}",
        "{{ [1] | batch(10**10, 0) | list }}",
        "{{ [1] | slice(10**10) | list }}", "{{ [1] | tojson(indent=10**10) }}", "{{ '\\t'.expandtabs(10**10) }}",
        "{{ 2 ** 64 }}", "{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}",
        "{{ 9223372036854775807 * 2 }}", "{{ (-9223372036854775807 - 1) // -1 }}", "{{ -(-9223372036854775807 - 1) }}",
        "{{ (-9223372036854775807 - 1) | abs }}", "{{ 10 ** 10 ** 10 }}", "{{ 1e300 | int }}",
        "{{ 0x8000000000000000 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% macro m(x) %}{{ m([x]) }}{% endmacro %}{{ m(1) }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% macro m() %}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
        "{% set ns = namespace(s=1) %}{% for i in range(99999) %}{% set ns.s = [ns.s] %}{% endfor %}",
        "{% set ns = namespace(s=1) %}{% for i in range(99999) %}{% set ns.s = {'a': ns.s} %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99999) %}{% set ns.s = ns.s | map('string') %}{% endfor %}",
        "{% set ns = namespace(s=1) %}{% for i in range(99999) %}{% set ns.s = cycler(ns.s) %}{% endfor %}",
        "{% set ns = namespace(s=1) %}{% for i in range(99999) %}{% set ns.s = [0] | map('d', ns.s) %}{% endfor %}",
        "{% set ns = namespace(s=1) %}{% for i in range(99999) %}{% set ns.s = [0] | batch(2, ns.s) %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99999) %}{% set ns.s = ns.s.copy %}{% endfor %}",
        "{{ 9223372036854775807 | round(-1) }}",
        "{{ ('a.' * 300000) | map(attribute='x' * 100000) | list }}",
        "{% set ns = namespace(t=1) %}{% for i in range(90) %}{% set ns.t = (ns.t, ns.t) %}{% endfor %}{{ {ns.t: 1} }}",
        "{% set ns = namespace(t=1) %}{% for i in range(90) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t }}",
        "{% set ns = namespace(t=1) %}{% for i in range(90) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}"
            + "{{ ns.t | tojson }}",
        "{{ " + String(repeating: "x", count: 100_000) + " }}",
        "{% set ns = namespace(s=1) %}{% for i in range(99999) %}{% set ns.s = joiner(ns.s) %}{% endfor %}",
        "{% set ns = namespace(l=1) %}{% for i in range(99999) %}{% for j in [ns.l] %}{% set ns.l = loop %}{% endfor %}"
            + "{% endfor %}",
        "{% set n = namespace(a=1) %}{% for i in range(2000) %}{% set n = namespace(a=n) %}{% endfor %}"
            + "{% set k = namespace(n=1) %}{% for i in range(2000) %}{% set k.n = namespace(n=k.n) %}{% endfor %}"
            + "{{ k }}",
        deep("{{ ", " }}", 1) + deep("(", ")", 100_000), "{{ " + deep("[", "]", 100_000) + " }}",
        "{{ " + deep("(", ")", 5000) + " }}", "{{ " + deep("{1:", "}", 5000) + " }}",
        "{{ " + deep("a[", "]", 5000) + " }}",
        "{{ " + deep("f(", ")", 5000) + " }}", "{{ " + String(repeating: "not ", count: 100_000) + "1 }}",
        "{{ " + String(repeating: "-", count: 100_000) + "1 }}", "{{ " + deep("1 if 1 else ", "1", 5000) + " }}",
        deep("{% if 1 %}", "{% endif %}", 5000), deep("{% for i in [1] %}", "{% endfor %}", 5000),
        deep("{% macro a() %}", "{% endmacro %}", 5000), deep("{% filter upper %}", "{% endfilter %}", 5000),
        deep("{% with %}", "{% endwith %}", 5000), "{% set " + deep("(", ")", 5000) + " = 1 %}",
    ])
    func refuses(_ source: String) {
        var limits = RenderLimits()
        (limits.steps, limits.work) = (2_000_000, 1 << 24)
        #expect(Self.kind(source, limits: limits) != nil)
    }

    /// Chains are not nested, however long they are.
    @Test(arguments: [
        "1" + String(repeating: " + 1", count: 20_000), "1" + String(repeating: " or 1", count: 20_000),
        "'a'" + String(repeating: " ~ 'a'", count: 20_000), "1" + String(repeating: " == 1", count: 20_000),
        "'a'" + String(repeating: " | upper", count: 20_000), "'a'" + String(repeating: ".upper()", count: 20_000),
        "1" + String(repeating: " if 1", count: 20_000), "[" + String(repeating: "1, ", count: 20_000) + "]",
        "'a'" + String(repeating: " 'a'", count: 20_000),
    ])
    func evaluatesLongChains(_ source: String) { #expect(Self.kind("{{ \(source) }}") == nil) }

    /// What the objects of a rendering refer to is freed without recursion, and without leaks.
    @Test(arguments: [
        "{% set ns = namespace(c=none) %}{% macro w() %}{% set ns.c = caller %}{% endmacro %}"
            + "{% macro step(last) %}{% call w() %}{{ last }}{% endcall %}{% endmacro %}"
            + "{% for i in range(50000) %}{{ step(ns.c) }}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.me = [ns, {'a': ns}] %}{% macro m() %}{{ ns }}{% endmacro %}"
            + "{% set ns.m = m %}",
        "{% set ns = namespace(l=1) %}{% for i in range(50000) %}{% for j in [1] %}{% set x = loop.changed(ns.l) %}"
            + "{% set ns.l = loop %}{% endfor %}{% endfor %}",
        "{% set n = namespace(a=1) %}{% set k = namespace(n=n) %}{% for i in range(50000) %}"
            + "{% set x = namespace(n=k.n) %}{% set k.n = x %}{% endfor %}",
    ])
    func freesChains(_ source: String) { #expect(Self.kind(source) == nil) }

    /// The deepest calls fit a stack of 2 MiB.
    @Test(arguments: [
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% for i in [1] if 1 %}{% filter upper %}{% set x %}{{ [m()] | map('upper') | join }}"
            + "{% endset %}{% endfilter %}{% endfor %}{% endmacro %}{{ m() }}",
        "{% macro m() %}{{ {1: [(1 + (m() ~ 1 if 1 else 2))]} }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    ])
    func boundsTheStack(_ source: String) {
        let done = DispatchSemaphore(value: 0)
        let outcome = Mutex<TemplateError.Kind?>(nil)
        let thread = Thread {
            outcome.withLock { $0 = Self.kind(source) }
            done.signal()
        }
        thread.stackSize = 2 << 20
        thread.start()
        done.wait()
        #expect(outcome.withLock { $0 } == .limit)
    }

    @Test func namesThePlace() {
        let source = "first\n{% if 1 %}\n  {{ 'é' ~ (1 + 'a') }}\n{% endif %}"
        guard case .failed(let error) = Cases.render(source, [:]) else {
            Issue.record("no error")
            return
        }
        #expect((error.line, error.column) == (3, 15))
        #expect(error.description.hasPrefix("line 3, column 15 of the chat template: unsupported operand"))
    }

    @Test(arguments: [
        ("{% include 'x' %}", "the tag 'include' is not supported", 4),
        ("ab{% nope %}", "Encountered unknown tag 'nope'.", 6),
        ("{{ x | nope }}", "No filter named 'nope'.", 8), ("{{ x is nope }}", "No test named 'nope'.", 9),
        ("{{ nope() }}", "'nope' is undefined", 8), ("{{ [1].append(2) }}", "access to attribute 'append'", 14),
    ])
    func namesTheProblem(_ source: String, _ message: String, _ column: Int) {
        guard case .failed(let error) = Cases.render(source, [:]) else {
            Issue.record("no error")
            return
        }
        #expect(error.message.hasPrefix(message), "\(error)")
        #expect((error.line, error.column) == (1, column))
    }

    @Test func keepsToItsLimits() {
        var limits = RenderLimits()
        limits.steps = 100
        #expect(Self.kind("{% for i in range(200) %}{% endfor %}", limits: limits) == .limit)
        limits = RenderLimits()
        limits.size = 100
        #expect(Self.kind("{% for i in range(200) %}a{% endfor %}", limits: limits) == .limit)
        #expect(Self.kind("{% for i in range(20) %}a{% endfor %}", limits: limits) == nil)
        limits = RenderLimits()
        limits.work = 1000
        #expect(
            Self.kind("{% for i in range(200) %}{% set x = 'abcdefgh' * 2 %}{% endfor %}", limits: limits) == .limit)
    }

    /// Damages templates at random: whatever comes out renders or is an error, in bounded time.
    @Test func survivesMutations() throws {
        let count = ProcessInfo.processInfo.environment["JINJA_MUTATIONS"].flatMap(Int.init) ?? 4000
        let file = try Cases.read("cases.json")
        let context = Cases.members(file["context"])
        var sources = (file["cases"]?.elements ?? []).compactMap { $0["template"]?.stringValue }
        for name in ["control_flow", "macros_indent"] {
            sources.append(try #require(Cases.read("References/\(name).json")["template"]?.stringValue))
        }
        let pieces = sources.flatMap { $0.split(separator: " ").map(String.init) }
        let templates = sources.map { Array($0.unicodeScalars) }
        var limits = RenderLimits()
        (limits.steps, limits.work, limits.size) = (20_000, 1 << 20, 1 << 18)
        var random = SeededGenerator(seed: testSeed)
        for _ in 0..<count {
            var template = templates[Int.random(in: templates.indices, using: &random)]
            for _ in 0...Int.random(in: 0...3, using: &random) {
                mutate(&template, templates, pieces, &random)
            }
            let source = Text(template).string
            let clock = ContinuousClock()
            let time = clock.measure { _ = Cases.render(source, context, limits: limits) }
            #expect(time < .seconds(10), "\(source)")
        }
    }

    private func mutate(
        _ template: inout [Unicode.Scalar], _ templates: [[Unicode.Scalar]], _ pieces: [String],
        _ random: inout SeededGenerator
    ) {
        let place = Int.random(in: 0...template.count, using: &random)
        let end = min(template.count, place + Int.random(in: 0...12, using: &random))
        switch Int.random(in: 0...6, using: &random) {
        case 0: template.removeSubrange(place..<end)
        case 1: template.insert(contentsOf: template[place..<end], at: place)
        case 2: template.insert(contentsOf: (pieces.randomElement(using: &random) ?? "").unicodeScalars, at: place)
        case 3: template.replaceSubrange(place..<end, with: (pieces.randomElement(using: &random) ?? "").unicodeScalars)
        case 4:
            let marks = [
                "{{", "}}", "{%", "%}", "{#", "#}", "-%}", "(", ")", "[", "]", "|", ".", "~", "-", "9", "'", ":", "\n",
            ]
            template.insert(contentsOf: (marks.randomElement(using: &random) ?? "").unicodeScalars, at: place)
        case 5: template.removeSubrange(place...)
        default:
            let other = templates.randomElement(using: &random) ?? []
            template.replaceSubrange(place..., with: other[Int.random(in: 0...other.count, using: &random)...])
        }
    }
}

private func deep(_ opening: String, _ closing: String, _ count: Int) -> String {
    String(repeating: opening, count: count) + String(repeating: closing, count: count)
}

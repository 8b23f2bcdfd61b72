// The functions that templates can call by name.
extension Renderer {
    /// The variables that every template has, unless its context gives them other values.
    static var globals: [Text: Value] {
        functions.mapValues { function in
            .object(
                HostObject("function") { (renderer, arguments) throws(TemplateError) in
                    try function.body(renderer, .none, arguments)
                })
        }
    }

    private static let functions: [Text: Routine] = [
        "range": Routine(["start", "stop", "step"], required: 1, positionalOnly: true) {
            (renderer, _, arguments) throws(TemplateError) in
            let first = try arguments.integer(0) ?? 0
            let stop = try arguments.integer(1)
            let step = try arguments.integer(2) ?? 1
            guard step != 0 else { throw renderer.error(.operation, "range() arg 3 must not be zero") }
            let range = IntegerRange(start: stop == nil ? 0 : first, stop: stop ?? first, step: step)
            guard range.count <= FixedLimits.range else {
                throw renderer.error(
                    .limit,
                    "Range too big. The sandbox blocks ranges larger than MAX_RANGE (\(FixedLimits.range)).")
            }
            return .range(range)
        },
        "dict": .variadic { (renderer, _, arguments) throws(TemplateError) in
            try renderer.dictionary(try renderer.entries(of: arguments))
        },
        "namespace": .variadic { (renderer, _, arguments) throws(TemplateError) in
            let namespace = try renderer.makeNamespace()
            for entry in try renderer.entries(of: arguments) {
                guard let name = entry.key.text else { throw renderer.error(.operation, "names must be texts") }
                namespace.set(name, to: entry.value)
            }
            return .namespace(namespace)
        },
        "cycler": .variadic { (renderer, _, arguments) throws(TemplateError) in
            guard !arguments.positional.isEmpty, arguments.named.isEmpty else {
                throw renderer.error(.operation, "at least one item has to be provided")
            }
            return .object(try renderer.cycler(arguments.positional))
        },
        "joiner": Routine(["sep"]) { (renderer, _, arguments) throws(TemplateError) in
            let separator = arguments[0] ?? .string(", ")
            var isUsed = false
            return .object(
                HostObject("Joiner", depth: try renderer.depth(containing: separator.depth)) {
                    (_, _) throws(TemplateError) in
                    defer { isUsed = true }
                    return isUsed ? separator : .string("")
                })
        },
        "lipsum": .variadic { (renderer, _, _) throws(TemplateError) in
            throw renderer.error(.unsupported, "lipsum() is not supported")
        },
        "raise_exception": Routine(["message"], required: 1) { (renderer, _, arguments) throws(TemplateError) in
            throw renderer.error(.raised, try renderer.text(of: arguments[0] ?? .none).string)
        },
        "strftime_now": Routine(["format"], required: 1) { (renderer, _, arguments) throws(TemplateError) in
            let format = try arguments.text(0) ?? ""
            try renderer.spend(format.count)
            return try renderer.string(Text(renderer.clock.formatted(format.string)))
        },
    ]

    /// The entries of the dictionary that Python's `dict` makes of its arguments.
    private func entries(of arguments: Arguments) throws(TemplateError) -> [OrderedMap.Entry] {
        var entries: [OrderedMap.Entry] = []
        guard arguments.positional.count <= 1 else {
            throw error(.operation, "dict expected at most 1 argument, got \(arguments.positional.count)")
        }
        if case .undefined(let undefined) = arguments.positional.first { throw error(using: undefined) }
        if case .dictionary(let map) = arguments.positional.first {
            entries = map.entries
        } else if let pairs = arguments.positional.first {
            for pair in try elements(of: pairs) {
                let sides = try elements(of: pair)
                guard sides.count == 2 else {
                    throw error(
                        .operation, "dictionary update sequence element has length \(sides.count); 2 is required")
                }
                entries.append((sides[0], sides[1]))
            }
        }
        return entries + arguments.named.map { (key: .string($0.name), value: $0.value) }
    }

    private func cycler(_ items: [Value]) throws(TemplateError) -> HostObject {
        var index = 0
        let depth = try depth(containing: items.lazy.map(\.depth).max() ?? 0)
        func method(_ call: @escaping () -> Value) -> Value {
            .object(HostObject("method", depth: depth) { (_, _) throws(TemplateError) in call() })
        }
        return HostObject(
            "Cycler", depth: depth,
            attribute: { (_, name) throws(TemplateError) in
                switch name {
                case "current": return items[index]
                case "next":
                    return method {
                        defer { index = (index + 1) % items.count }
                        return items[index]
                    }
                case "reset":
                    return method {
                        index = 0
                        return .none
                    }
                default: return nil
                }
            })
    }
}

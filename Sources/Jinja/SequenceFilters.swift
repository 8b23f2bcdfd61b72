// Jinja's filters on sequences, and those that apply others.
extension Routine {
    /// The values of a filter that is a generator in Python: nothing happens before the first of them is asked for.
    ///
    /// - Parameter depth: that of the arguments.
    private static func generator(
        _ renderer: Renderer, _ value: Value, depth: Int = 0,
        _ make: @escaping (Renderer) throws(TemplateError) -> LazyValues
    ) throws(TemplateError) -> Value {
        var values: LazyValues?
        return .iterator(
            LazyValues(depth: try renderer.depth(containing: max(value.depth, depth))) {
                (renderer) throws(TemplateError) in
                let source: LazyValues
                if let values { source = values } else { source = try make(renderer) }
                values = source
                return try source.next(renderer)
            })
    }

    /// A filter that takes its arguments apart itself, and has no values where it is given something that is not true.
    private static func lazy(
        _ make: @escaping @Sendable (Renderer, LazyValues, Arguments) throws(TemplateError) -> LazyValues
    ) -> Routine {
        .variadic { (renderer, value, arguments) throws(TemplateError) in
            try generator(renderer, value, depth: arguments.depth) { (renderer) throws(TemplateError) in
                guard value.isTrue else { return try renderer.iterator(over: []) }
                return try make(renderer, try renderer.iterator(over: value), arguments)
            }
        }
    }

    /// `select`, `reject`, and the same by attribute.
    private static func selecting(_ isKept: Bool, byAttribute: Bool) -> Routine {
        lazy { (renderer, source, arguments) throws(TemplateError) in
            var arguments = arguments
            var path: AttributePath?
            if byAttribute {
                guard !arguments.positional.isEmpty else {
                    throw renderer.error(.operation, "Missing parameter for attribute name")
                }
                path = try AttributePath(arguments.positional.removeFirst(), renderer)
            }
            let test = arguments.positional.isEmpty ? nil : arguments.positional.removeFirst()
            return try renderer.iterator(over: source) { (renderer, value) throws(TemplateError) in
                let subject = try path?.value(of: value, renderer) ?? value
                let result = try test.map { (test) throws(TemplateError) in
                    try renderer.routine(test, in: Routine.tests, "test").body(renderer, subject, arguments)
                }
                return (result ?? subject).isTrue == isKept ? value : nil
            }
        }
    }

    private static func extreme(_ isBetter: @escaping @Sendable (Renderer, Value, Value) throws(TemplateError) -> Bool)
        -> Routine
    {
        Routine(["case_sensitive", "attribute"]) { (renderer, value, arguments) throws(TemplateError) in
            let path = try AttributePath(arguments[1] ?? .none, renderer, ignoresCase: !arguments.isTrue(0))
            var best: (key: Value, value: Value)?
            for value in try renderer.elements(of: value) {
                let key = try path.value(of: value, renderer)
                if let current = best, try !isBetter(renderer, key, current.key) { continue }
                best = (key, value)
            }
            return best?.value ?? .undefined(Undefined("No aggregated item, sequence was empty."))
        }
    }

    static let sequenceFilters: [Text: Routine] = [
        "batch": Routine(["linecount", "fill_with"], required: 1) {
            (renderer, value, arguments) throws(TemplateError) in
            try generator(renderer, value, depth: arguments.depth) { (renderer) throws(TemplateError) in
                try batches(of: try renderer.elements(of: value), arguments, renderer)
            }
        },
        "dictsort": Routine(["case_sensitive", "by", "reverse"]) { (renderer, value, arguments) throws(TemplateError) in
            let by = try arguments.text(1) ?? "key"
            guard by == "key" || by == "value" else {
                throw renderer.error(.operation, "You can only sort by either \"key\" or \"value\"")
            }
            let path = try AttributePath(
                .integer(by == "key" ? 0 : 1), renderer, ignoresCase: !arguments.isTrue(0))
            return try renderer.list(
                try renderer.sorted(
                    try renderer.items(value),
                    by: { (item) throws(TemplateError) in
                        try path.value(of: item, renderer)
                    }, descending: arguments.integer(2) ?? 0 != 0))
        },
        "first": Routine { (renderer, value, _) throws(TemplateError) in
            try renderer.iterator(over: value).next(renderer)
                ?? .undefined(Undefined("No first item, sequence was empty."))
        },
        "groupby": Routine(["attribute", "default", "case_sensitive"], required: 1) {
            (renderer, value, arguments) throws(TemplateError) in
            let attribute = arguments[0] ?? .none
            let exact = try AttributePath(attribute, renderer, defaultValue: arguments.given(1))
            let path = try AttributePath(
                attribute, renderer, ignoresCase: !arguments.isTrue(2), defaultValue: arguments.given(1))
            let values = try renderer.sorted(try renderer.elements(of: value)) { (value) throws(TemplateError) in
                try path.value(of: value, renderer)
            }
            var groups: [(key: Value, values: [Value])] = []
            for value in values {
                let key = try path.value(of: value, renderer)
                if let last = groups.last, try renderer.areEqual(last.key, key) {
                    groups[groups.count - 1].values.append(value)
                } else {
                    groups.append((key, [value]))
                }
            }
            var result: [Value] = []
            for group in groups {
                // The name of a group is as its first value spells it.
                let name = try exact.value(of: group.values[0], renderer)
                result.append(
                    try renderer.tuple([name, try renderer.list(group.values)], fieldNames: ["grouper", "list"]))
            }
            return try renderer.list(result)
        },
        "items": Routine { (renderer, value, _) throws(TemplateError) in
            try generator(renderer, value) { (renderer) throws(TemplateError) in
                if value.isUndefined { return try renderer.iterator(over: []) }
                guard case .dictionary = value else {
                    throw renderer.error(.operation, "Can only get item pairs from a mapping.")
                }
                return try renderer.iterator(over: try renderer.items(value))
            }
        },
        "join": Routine(["d", "attribute"]) { (renderer, value, arguments) throws(TemplateError) in
            let path = try AttributePath(arguments[1] ?? .none, renderer)
            var parts: [Text] = []
            for value in try renderer.elements(of: value) {
                parts.append(try renderer.text(of: try path.value(of: value, renderer)))
            }
            return .string(try renderer.joined(parts, by: try renderer.text(of: arguments[0] ?? .string(""))))
        },
        "last": Routine { (renderer, value, _) throws(TemplateError) in
            if case .iterator = value { throw renderer.error(.operation, "'generator' object is not reversible") }
            return try renderer.elements(of: value).last
                ?? .undefined(Undefined("No last item, sequence was empty."))
        },
        "list": Routine { (renderer, value, _) throws(TemplateError) in
            try renderer.list(try renderer.elements(of: value))
        },
        "map": lazy { (renderer, source, arguments) throws(TemplateError) in
            var arguments = arguments
            if arguments.positional.isEmpty,
                let index = arguments.named.firstIndex(where: { $0.name == "attribute" })
            {
                let attribute = arguments.named.remove(at: index).value
                let place = arguments.named.firstIndex { $0.name == "default" }
                let defaultValue = place.map { arguments.named.remove(at: $0).value }
                if let extra = arguments.named.first {
                    throw renderer.error(.operation, "Unexpected keyword argument '\(extra.name.string)'")
                }
                let path = try AttributePath(
                    attribute, renderer, defaultValue: defaultValue.flatMap { $0.isNone ? nil : $0 })
                return try renderer.iterator(over: source) { (renderer, value) throws(TemplateError) in
                    try path.value(of: value, renderer)
                }
            }
            guard !arguments.positional.isEmpty else {
                throw renderer.error(.operation, "map requires a filter argument")
            }
            let filter = arguments.positional.removeFirst()
            return try renderer.iterator(over: source) { (renderer, value) throws(TemplateError) in
                try renderer.routine(filter, in: Routine.filters, "filter").body(renderer, value, arguments)
            }
        },
        "max": extreme { (renderer, new, old) throws(TemplateError) in try renderer.isLess(old, new) },
        "min": extreme { (renderer, new, old) throws(TemplateError) in try renderer.isLess(new, old) },
        "reject": selecting(false, byAttribute: false), "rejectattr": selecting(false, byAttribute: true),
        "reverse": Routine { (renderer, value, _) throws(TemplateError) in
            if case .string(let text) = value {
                try renderer.spend(text.count)
                return .string(Text(text.scalars.reversed(), isMarkup: text.isMarkup))
            }
            let values = Array(try renderer.elements(of: value).reversed())
            if case .iterator = value { return try renderer.list(values) }
            return .iterator(try renderer.iterator(over: values))
        },
        "select": selecting(true, byAttribute: false), "selectattr": selecting(true, byAttribute: true),
        "slice": Routine(["slices", "fill_with"], required: 1) { (renderer, value, arguments) throws(TemplateError) in
            try generator(renderer, value, depth: arguments.depth) { (renderer) throws(TemplateError) in
                try slices(of: try renderer.elements(of: value), arguments, renderer)
            }
        },
        "sort": Routine(["reverse", "case_sensitive", "attribute"]) {
            (renderer, value, arguments) throws(TemplateError) in
            let attributes: [Value] =
                if let names = arguments[2]?.text { names.split(by: ",", limit: .max).map(Value.string) } else {
                    [arguments[2] ?? .none]
                }
            let paths = try attributes.map { (attribute) throws(TemplateError) in
                try AttributePath(attribute, renderer, ignoresCase: !arguments.isTrue(1))
            }
            let values = try renderer.elements(of: value)
            return try renderer.list(
                try renderer.sorted(
                    values,
                    by: { (value) throws(TemplateError) in
                        try renderer.list(
                            try paths.map { (path) throws(TemplateError) in try path.value(of: value, renderer) })
                    }, descending: arguments.integer(0) ?? 0 != 0))
        },
        "sum": Routine(["attribute", "start"]) { (renderer, value, arguments) throws(TemplateError) in
            let path = try AttributePath(arguments[0] ?? .none, renderer)
            var sum = arguments[1] ?? .integer(0)
            if sum.text != nil { throw renderer.error(.operation, "sum() can't sum strings") }
            for value in try renderer.elements(of: value) {
                sum = try renderer.compute(.add, sum, try path.value(of: value, renderer))
            }
            return sum
        },
        "unique": Routine(["case_sensitive", "attribute"]) { (renderer, value, arguments) throws(TemplateError) in
            try generator(renderer, value, depth: arguments.depth) { (renderer) throws(TemplateError) in
                let path = try AttributePath(arguments[1] ?? .none, renderer, ignoresCase: !arguments.isTrue(0))
                var seen: Set<Key> = []
                return try renderer.iterator(over: try renderer.iterator(over: value)) {
                    (renderer, value) throws(TemplateError) in
                    try renderer.spend(RenderCost.element)
                    return seen.insert(try renderer.key(try path.value(of: value, renderer))).inserted ? value : nil
                }
            }
        },
    ]

    private static func batches(
        of values: [Value], _ arguments: Bound, _ renderer: Renderer
    ) throws(TemplateError) -> LazyValues {
        let size = try arguments.integer(0) ?? 1
        var batches: [Value] = []
        var batch: [Value] = []
        for value in values {
            if batch.count == size {
                batches.append(try renderer.list(batch))
                batch = []
            }
            batch.append(value)
        }
        if !batch.isEmpty {
            if let fill = arguments.given(1), batch.count < size {
                try renderer.spend(size, each: RenderCost.element)
                batch += Array(repeating: fill, count: size - batch.count)
            }
            batches.append(try renderer.list(batch))
        }
        return try renderer.iterator(over: batches)
    }

    private static func slices(
        of values: [Value], _ arguments: Bound, _ renderer: Renderer
    ) throws(TemplateError) -> LazyValues {
        let count = try arguments.integer(0) ?? 1
        guard count != 0 else { throw renderer.error(.operation, "integer division or modulo by zero") }
        var slices: [Value] = []
        var start = 0
        try renderer.spend(max(0, count), each: RenderCost.element)
        for index in 0..<max(0, count) {
            let hasExtra = index < values.count % count
            let end = start + values.count / count + (hasExtra ? 1 : 0)
            let fill = hasExtra ? [] : arguments.given(1).map { [$0] } ?? []
            slices.append(try renderer.list(values[start..<end] + fill))
            start = end
        }
        return try renderer.iterator(over: slices)
    }
}

/// A path of attributes such as `function.name` or `0`, which filters look up in each element.
private struct AttributePath {
    private let parts: [Value]
    private let ignoresCase: Bool
    private let defaultValue: Value?

    /// - Parameters:
    ///   - path: a text, an integer, or none for the element itself.
    ///   - defaultValue: what stands for an undefined part.
    init(
        _ path: Value, _ renderer: Renderer, ignoresCase: Bool = false, defaultValue: Value? = nil
    ) throws(TemplateError) {
        self.ignoresCase = ignoresCase
        self.defaultValue = defaultValue
        guard let text = path.text else {
            parts = path.isNone ? [] : [path]
            return
        }
        try renderer.spend(text.count)
        parts = text.split(by: ".", limit: .max).map { part in
            let isNumber = part.count > 0 && part.scalars.allSatisfy { $0.isASCII && $0.isDigit }
            return isNumber ? Int(part.string).map(Value.integer) ?? .string(part) : .string(part)
        }
    }

    func value(of element: Value, _ renderer: Renderer) throws(TemplateError) -> Value {
        var value = element
        for part in parts {
            value = try renderer.item(part, of: value)
            if let defaultValue, value.isUndefined { value = defaultValue }
        }
        guard ignoresCase, let text = value.text else { return value }
        return try renderer.string(text.lowercased)
    }
}

extension Renderer {
    /// The filter or test that a value names.
    fileprivate func routine(
        _ name: Value, in table: [Text: Routine], _ kind: String
    ) throws(TemplateError) -> Routine {
        try spend(name.text?.count ?? 1)
        guard let text = name.text, let routine = table[text] else {
            throw error(.unsupported, "No \(kind) named \(try representation(of: name).string).")
        }
        return routine
    }
}

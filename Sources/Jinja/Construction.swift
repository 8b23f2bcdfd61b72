import JSON

// Makes values within the limits.
extension Renderer {
    func list(_ values: [Value]) throws(TemplateError) -> Value { .list(try elements(values, "list")) }

    func tuple(_ values: [Value], fieldNames: [Text] = []) throws(TemplateError) -> Value {
        .tuple(try elements(values, "tuple", fieldNames: fieldNames))
    }

    /// A view of a dictionary, such as `dict_keys`.
    func view(_ values: [Value], _ typeName: String) throws(TemplateError) -> Value {
        .view(try elements(values, typeName))
    }

    private func elements(
        _ values: [Value], _ typeName: String, fieldNames: [Text] = []
    ) throws(TemplateError) -> Elements {
        try spend(values.count, each: RenderCost.element)
        let depth = try depth(containing: values.lazy.map(\.depth).max() ?? 0)
        return Elements(values, depth: depth, typeName: typeName, fieldNames: fieldNames)
    }

    /// The depth of a container of values with that depth.
    func depth(containing depth: Int) throws(TemplateError) -> Int {
        guard depth < FixedLimits.valueDepth else {
            throw error(.limit, "a value is nested more than \(FixedLimits.valueDepth) times")
        }
        return depth + 1
    }

    /// A dictionary; of two equal keys, the first place and the last value count.
    func dictionary(_ pairs: [OrderedMap.Entry]) throws(TemplateError) -> Value {
        try spend(pairs.count, each: 2 * RenderCost.element)
        var entries: [OrderedMap.Entry] = []
        var indices: [Key: Int] = [:]
        var deepest = 0
        for pair in pairs {
            let key = try key(pair.key)
            if let index = indices[key] {
                entries[index].value = pair.value
            } else {
                indices[key] = entries.count
                entries.append(pair)
            }
            deepest = max(deepest, pair.key.depth, pair.value.depth)
        }
        return .dictionary(OrderedMap(entries, indices: indices, depth: try depth(containing: deepest)))
    }

    func key(_ value: Value) throws(TemplateError) -> Key {
        guard let key = try keyIfHashable(value) else {
            throw error(.operation, "unhashable type: '\(value.typeName)'")
        }
        return key
    }

    /// The key that a value is in a dictionary; nil if Python calls it unhashable.
    func keyIfHashable(_ value: Value) throws(TemplateError) -> Key? {
        try spend(value.text?.count ?? 1)
        guard case .tuple(let elements) = value else { return value.simpleKey }
        var keys: [Key] = []
        for element in elements.values {
            guard let key = try nested({ () throws(TemplateError) in try keyIfHashable(element) }) else { return nil }
            keys.append(key)
        }
        return .tuple(keys)
    }

    /// A text that an operation has made.
    func string(_ text: Text) throws(TemplateError) -> Value {
        try spend(text.count)
        return .string(text)
    }

    func iterator(over values: [Value]) throws(TemplateError) -> LazyValues {
        var index = 0
        let depth = try depth(containing: values.lazy.map(\.depth).max() ?? 0)
        return LazyValues(depth: depth) { (_) throws(TemplateError) in
            guard index < values.count else { return nil }
            defer { index += 1 }
            return values[index]
        }
    }

    /// An iterator that makes its values from those of another one; `transform` gives nil for what is left out.
    func iterator(
        over source: LazyValues, _ transform: @escaping (Renderer, Value) throws(TemplateError) -> Value?
    ) throws(TemplateError) -> LazyValues {
        LazyValues(depth: try depth(containing: source.depth)) { (renderer) throws(TemplateError) in
            while let value = try source.next(renderer) {
                try renderer.step()
                if let result = try transform(renderer, value) { return result }
            }
            return nil
        }
    }

    /// The value of a JSON text, with the kinds that Python's `json` gives.
    func value(_ json: JSONValue) throws(TemplateError) -> Value {
        switch json {
        case .null: return .none
        case .bool(let truth): return .bool(truth)
        case .number(let spelling): return number(spelling)
        case .string(let text): return try string(Text(text))
        case .array(let elements):
            return try nested { () throws(TemplateError) in
                var values: [Value] = []
                for element in elements { values.append(try value(element)) }
                return try list(values)
            }
        case .object(let members):
            return try nested { () throws(TemplateError) in
                var entries: [OrderedMap.Entry] = []
                for member in members { entries.append((.string(member.name), try value(member.value))) }
                return try dictionary(entries)
            }
        }
    }

    private func number(_ spelling: String) -> Value {
        if let integer = Int(spelling) { return .integer(integer) }
        let isInteger = spelling.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-") }
        if isInteger { return .largeInteger(Text(spelling)) }
        switch spelling {
        case "NaN": return .float(.nan)
        case "Infinity": return .float(.infinity)
        case "-Infinity": return .float(-.infinity)
        default: return .float(Double(spelling) ?? .nan)
        }
    }
}

// The filter `tojson` of transformers: Python's `json.dumps`.

extension Renderer {
    /// How `json.dumps` lays out a value.
    struct JSONLayout {
        /// What each level is indented by; nil for one line.
        var indentation: Text?
        var itemSeparator: Text
        var keySeparator: Text
        var sortsKeys: Bool
        var isASCII: Bool
    }

    func json(_ value: Value, _ layout: JSONLayout) throws(TemplateError) -> Text {
        var result = Text("")
        try write(value, layout, lineBreak: layout.indentation == nil ? nil : "\n", to: &result)
        return result
    }

    /// Writes a value; `lineBreak` is the line end with the indentation of the place where it stands.
    private func write(
        _ value: Value, _ layout: JSONLayout, lineBreak: Text?, to result: inout Text
    ) throws(TemplateError) {
        let start = result.count
        switch value {
        case .none: result.append("null")
        case .bool(let truth): result.append(truth ? "true" : "false")
        case .integer(let number): result.append(String(number))
        case .largeInteger(let digits): result.append(digits.string)
        case .float(let number): result.append(Self.spelling(number))
        case .string(let text):
            try spend(text.count)
            result.append(Self.quoted(text, isASCII: layout.isASCII))
        case .list(let elements), .tuple(let elements):
            try write(elements.values.count, layout, lineBreak, "[", "]", to: &result) {
                (index, lineBreak, result) throws(TemplateError) in
                try write(elements.values[index], layout, lineBreak: lineBreak, to: &result)
            }
        case .dictionary(let dictionary):
            let entries = try entries(of: dictionary, layout)
            try write(entries.count, layout, lineBreak, "{", "}", to: &result) {
                (index, lineBreak, result) throws(TemplateError) in
                result.append(Self.quoted(entries[index].key, isASCII: layout.isASCII))
                result.scalars += layout.keySeparator.scalars
                try write(entries[index].value, layout, lineBreak: lineBreak, to: &result)
            }
        case .undefined, .view, .range, .iterator, .namespace, .object:
            throw error(.operation, "Object of type \(value.typeName) is not JSON serializable")
        }
        try spend(result.count - start)
    }

    private func write(
        _ count: Int, _ layout: JSONLayout, _ lineBreak: Text?, _ opening: String, _ closing: String,
        to result: inout Text, item: (Int, Text?, inout Text) throws(TemplateError) -> Void
    ) throws(TemplateError) {
        result.append(opening)
        let inner = lineBreak.map { $0 + (layout.indentation ?? "") }
        for index in 0..<count {
            if index > 0 { result.scalars += layout.itemSeparator.scalars }
            if let inner { result.scalars += inner.scalars }
            try nested { () throws(TemplateError) in try item(index, inner, &result) }
        }
        if count > 0, let lineBreak { result.scalars += lineBreak.scalars }
        result.append(closing)
    }

    private func entries(
        of dictionary: OrderedMap, _ layout: JSONLayout
    ) throws(TemplateError) -> [(key: Text, value: Value)] {
        var entries = dictionary.entries
        if layout.sortsKeys {
            let pairs = try entries.map { (entry) throws(TemplateError) in try tuple([entry.key, entry.value]) }
            let sorted = try sorted(pairs) { (pair) throws(TemplateError) in try item(.integer(0), of: pair) }
            entries = try sorted.map { (pair) throws(TemplateError) in
                (try item(.integer(0), of: pair), try item(.integer(1), of: pair))
            }
        }
        return try entries.map { (entry) throws(TemplateError) in
            (try name(of: entry.key), entry.value)
        }
    }

    private func name(of key: Value) throws(TemplateError) -> Text {
        switch key {
        case .string(let text): return text
        case .none: return "null"
        case .bool(let truth): return truth ? "true" : "false"
        case .integer(let number): return Text(String(number))
        case .largeInteger(let digits): return digits
        case .float(let number): return Text(Self.spelling(number))
        case .undefined, .list, .tuple, .dictionary, .view, .range, .iterator, .namespace, .object:
            throw error(.operation, "keys must be str, int, float, bool or None, not \(key.typeName)")
        }
    }

    private static func spelling(_ number: Double) -> String {
        number.isFinite ? number.pythonRepresentation : number.isNaN ? "NaN" : number < 0 ? "-Infinity" : "Infinity"
    }

    private static func quoted(_ text: Text, isASCII: Bool) -> String {
        var result = "\""
        for scalar in text.scalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{8}": result += "\\b"
            case "\u{C}": result += "\\f"
            case "\u{0}"..<"\u{20}": result += "\\u" + Text.hexadecimal(scalar.value, width: 4)
            case _ where isASCII && scalar.value >= 0x7F:
                for unit in UTF16.encode(scalar).map(Array.init) ?? [] {
                    result += "\\u" + Text.hexadecimal(UInt32(unit), width: 4)
                }
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

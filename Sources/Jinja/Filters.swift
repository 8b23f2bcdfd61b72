// Jinja's filters on single values. `SequenceFilters.swift` has those on sequences.
extension Routine {
    /// All filters; `tojson` is the one of transformers.
    static let filters: [Text: Routine] = valueFilters.merging(sequenceFilters) { $1 }

    private typealias TextBody = @Sendable (Renderer, Text, Bound) throws(TemplateError) -> Value

    /// A filter that takes whatever it is given as a text.
    private static func text(_ names: [Text] = [], required: Int = 0, _ body: @escaping TextBody) -> Routine {
        Routine(names, required: required) { (renderer, value, arguments) throws(TemplateError) in
            let text = try renderer.softText(of: value)
            try renderer.spend(text.count)
            return try body(renderer, text, arguments)
        }
    }

    /// A filter that takes only texts.
    private static func strictText(_ names: [Text] = [], required: Int = 0, _ body: @escaping TextBody) -> Routine {
        Routine(names, required: required) { (renderer, value, arguments) throws(TemplateError) in
            let text = try renderer.string(value)
            try renderer.spend(text.count)
            return try body(renderer, text, arguments)
        }
    }

    private static func unsupported(_ name: String) -> Routine {
        .variadic { (renderer, _, _) throws(TemplateError) in
            throw renderer.error(.unsupported, "the filter '\(name)' is not supported")
        }
    }

    private static let escape = Routine { (renderer, value, _) throws(TemplateError) in
        .string(try renderer.softText(of: value).escapedForHTML)
    }

    private static let length = Routine { (renderer, value, _) throws(TemplateError) in
        guard let length = renderer.length(of: value) else {
            throw renderer.error(.operation, "object of type '\(value.typeName)' has no len()")
        }
        return .integer(length)
    }

    private static let defaultValue = Routine(["default_value", "boolean"]) {
        (_, value, arguments) throws(TemplateError) in
        value.isUndefined || (arguments.isTrue(1) && !value.isTrue) ? arguments[0] ?? .string("") : value
    }

    private static let valueFilters: [Text: Routine] = [
        "abs": Routine { (renderer, value, _) throws(TemplateError) in
            if case .float(let number) = value { return .float(number.magnitude) }
            guard let number = value.integer else {
                if case .undefined(let undefined) = value { throw renderer.error(using: undefined) }
                throw renderer.error(.operation, "bad operand type for abs(): '\(value.typeName)'")
            }
            return try number < 0 ? renderer.signed(value, isNegative: true) : .integer(number)
        },
        "attr": Routine(["name"], required: 1) { (renderer, value, arguments) throws(TemplateError) in
            let name = try arguments.text(0) ?? ""
            if case .undefined(let undefined) = value { throw renderer.error(using: undefined) }
            return try renderer.member(name, of: value)
                ?? .undefined(Undefined("'\(value.typeName) object' has no attribute \(name.representation)"))
        },
        "capitalize": text { (renderer, text, _) throws(TemplateError) in try renderer.string(text.capitalized) },
        "center": text(["width"]) { (renderer, text, arguments) throws(TemplateError) in
            let width = try arguments.integer(0) ?? 80
            try renderer.spend(max(0, width))
            return .string(text.padded(to: width, with: " ", .center))
        },
        "count": length, "length": length, "d": defaultValue, "default": defaultValue, "e": escape, "escape": escape,
        "filesizeformat": Routine(["binary"]) { (renderer, value, arguments) throws(TemplateError) in
            let size = try renderer.parsedFloat(value)
            let isBinary = arguments.isTrue(0)
            let base: Double = isBinary ? 1024 : 1000
            if size == 1 { return .string("1 Byte") }
            guard size >= base else {
                guard let whole = Int(exactly: size.rounded(.towardZero)) else {
                    throw renderer.error(.operation, "cannot convert float to integer")
                }
                return .string("\(whole) Bytes")
            }
            var unit = base
            let prefixes =
                isBinary ? ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] : ["k", "M", "G", "T", "P", "E", "Z", "Y"]
            for (index, prefix) in prefixes.enumerated() {
                unit *= base
                guard size < unit || index == prefixes.count - 1 else { continue }
                return .string(try renderer.field(.float(base * size / unit), ".1f") + Text(" \(prefix)B"))
            }
            return .none
        },
        "float": Routine(["default"]) { (renderer, value, arguments) throws(TemplateError) in
            if case .undefined(let undefined) = value { throw renderer.error(using: undefined) }
            return renderer.float(from: value).map(Value.float) ?? arguments[0] ?? .float(0)
        },
        "forceescape": Routine { (renderer, value, _) throws(TemplateError) in
            .string(try renderer.text(of: value).escapedForHTML)
        },
        "format": .variadic { (renderer, value, arguments) throws(TemplateError) in
            guard arguments.positional.isEmpty || arguments.named.isEmpty else {
                throw renderer.error(
                    .operation, "can't handle positional and keyword arguments at the same time")
            }
            let text = try renderer.softText(of: value)
            guard !arguments.named.isEmpty else {
                return try renderer.format(text, with: try renderer.tuple(arguments.positional))
            }
            let entries = arguments.named.map { (key: Value.string($0.name), value: $0.value) }
            return try renderer.format(text, with: try renderer.dictionary(entries))
        },
        "indent": strictText(["width", "first", "blank"]) { (renderer, text, arguments) throws(TemplateError) in
            var indentation = Text("")
            if let mark = arguments[0]?.text {
                indentation = mark
            } else {
                let width = try arguments.integer(0) ?? 4
                try renderer.spend(max(0, width))
                indentation = Text(Array(repeating: " ", count: max(0, width)))
            }
            let lines = (text + "\n").lines(keepingEnds: false)
            try renderer.spend(lines.count, each: indentation.count + 1)
            var result: [Unicode.Scalar] = arguments.isTrue(1) ? indentation.scalars : []
            for (index, line) in lines.enumerated() {
                if index > 0 {
                    result.append("\n")
                    if line.count > 0 || arguments.isTrue(2) { result += indentation.scalars }
                }
                result += line.scalars
            }
            return .string(Text(result, isMarkup: text.isMarkup))
        },
        "int": Routine(["default", "base"]) { (renderer, value, arguments) throws(TemplateError) in
            // A base that is no integer is no error either.
            let radix = arguments[1].map { $0.integer ?? 1 } ?? 10
            return try renderer.integer(from: value, radix: radix) ?? arguments[0] ?? .integer(0)
        },
        "lower": text { (renderer, text, _) throws(TemplateError) in try renderer.string(text.lowercased) },
        "pprint": unsupported("pprint"), "random": unsupported("random"),
        "replace": Routine(["old", "new", "count"], required: 2) {
            (renderer, value, arguments) throws(TemplateError) in
            let limit = try arguments.given(2).map { (value) throws(TemplateError) in try renderer.integer(value) }
            let old = try renderer.text(of: arguments[0] ?? .none)
            let new = try renderer.text(of: arguments[1] ?? .none)
            return .string(
                try renderer.replacing(try renderer.text(of: value), old, with: new, limit: limit ?? -1))
        },
        "round": Routine(["precision", "method"]) { (renderer, value, arguments) throws(TemplateError) in
            try renderer.rounded(value, digits: arguments.integer(0) ?? 0, method: arguments.text(1) ?? "common")
        },
        "safe": Routine { (renderer, value, _) throws(TemplateError) in
            .string(Text(try renderer.text(of: value).scalars, isMarkup: true))
        },
        "string": Routine { (renderer, value, _) throws(TemplateError) in .string(try renderer.softText(of: value)) },
        "striptags": text { (renderer, text, _) throws(TemplateError) in
            .string(try renderer.withoutTags(Text(text.scalars)))
        },
        "title": text { (renderer, text, _) throws(TemplateError) in
            var (result, start) = ([Unicode.Scalar](), 0)
            for (index, scalar) in text.scalars.enumerated()
            where scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar) {
                result += text[start..<index].wordInTitle
                result.append(scalar)
                start = index + 1
            }
            return try renderer.string(Text(result + text[start..<text.count].wordInTitle))
        },
        "tojson": Routine(["ensure_ascii", "indent", "separators", "sort_keys"]) {
            (renderer, value, arguments) throws(TemplateError) in
            var indentation = arguments.given(1)?.text
            if indentation == nil, let width = arguments.given(1) {
                let count = max(0, try renderer.integer(width))
                try renderer.spend(count)
                indentation = Text(Array(repeating: " ", count: count))
            }
            var layout = Renderer.JSONLayout(
                indentation: indentation, itemSeparator: indentation == nil ? ", " : ",", keySeparator: ": ",
                sortsKeys: arguments.isTrue(3), isASCII: arguments.isTrue(0))
            if let separators = arguments.given(2) {
                let parts = try renderer.elements(of: separators)
                guard parts.count == 2 else { throw renderer.error(.operation, "separators must be two texts") }
                layout.itemSeparator = try renderer.string(parts[0])
                layout.keySeparator = try renderer.string(parts[1])
            }
            return try renderer.string(try renderer.json(value, layout))
        },
        "trim": text(["chars"]) { (renderer, text, arguments) throws(TemplateError) in
            let set = try arguments.given(0).map { (value) throws(TemplateError) in try renderer.string(value) }
            return .string(text.stripped(set))
        },
        "truncate": Routine(["length", "killwords", "end", "leeway"]) {
            (renderer, value, arguments) throws(TemplateError) in
            let length = try arguments.integer(0) ?? 255
            let end = try arguments.text(2) ?? "..."
            let leeway =
                try arguments.given(3).map { (value) throws(TemplateError) in try renderer.integer(value) } ?? 5
            guard length >= end.count, leeway >= 0 else {
                throw renderer.error(.operation, "expected length >= \(end.count), got \(length)")
            }
            guard let count = renderer.length(of: value) else {
                throw renderer.error(.operation, "object of type '\(value.typeName)' has no len()")
            }
            guard count - leeway > length else { return value }
            let text = try renderer.string(value)
            let start = text[0..<(length - end.count)]
            if arguments.isTrue(1) { return try renderer.compute(.add, .string(start), .string(end)) }
            let kept = start.split(by: " ", limit: 1, fromRight: true)[0]
            return try renderer.compute(.add, .string(kept), .string(end))
        },
        "upper": text { (renderer, text, _) throws(TemplateError) in try renderer.string(text.uppercased) },
        "urlencode": Routine { (renderer, value, _) throws(TemplateError) in try renderer.urlEncoded(value) },
        "urlize": unsupported("urlize"),
        "wordcount": text { (_, text, _) throws(TemplateError) in
            .integer(text.scalars.split { !$0.isWordPart }.count)
        },
        "wordwrap": unsupported("wordwrap"),
        "xmlattr": Routine(["autospace"]) { (renderer, value, arguments) throws(TemplateError) in
            var parts: [Text] = []
            for entry in try renderer.entries(value) where !entry.value.isNone && !entry.value.isUndefined {
                let key = try renderer.string(entry.key)
                guard !key.scalars.contains(where: { " \t\n\r\u{B}\u{C}/>=".unicodeScalars.contains($0) }) else {
                    throw renderer.error(.operation, "Invalid character in attribute name: \(key.representation)")
                }
                let shown = try renderer.softText(of: entry.value).escapedForHTML
                parts.append(key.escapedForHTML + "=\"" + shown + "\"")
            }
            let result = try renderer.joined(parts, by: " ")
            return .string(arguments.isTrue(0, default: true) && result.count > 0 ? " " + result : result)
        },
    ]
}

extension Text {
    /// The first character in upper case and the rest in lower case.
    fileprivate var wordInTitle: [Unicode.Scalar] {
        guard count > 0 else { return [] }
        return self[0..<1].uppercased.scalars + self[1..<count].lowercased.scalars
    }
}

extension Renderer {
    /// What `str` gives, except that a text stays markup.
    func softText(of value: Value) throws(TemplateError) -> Text {
        if case .string(let text) = value { text } else { try text(of: value) }
    }

    /// The number that Python's `int` makes of a value; nil if it makes none.
    fileprivate func integer(from value: Value, radix: Int) throws(TemplateError) -> Value? {
        if case .undefined(let undefined) = value { throw error(using: undefined) }
        if case .largeInteger = value { return value }
        if let integer = value.integer { return .integer(integer) }
        if let text = value.text {
            guard (2...36).contains(radix) || radix == 0 else { return nil }
            try spend(text.count)
            if let number = Self.parsedInteger(text, radix: radix) { return number }
        }
        guard let number = float(from: value), number.isFinite else { return nil }
        guard let integer = Int(exactly: number.rounded(.towardZero)) else {
            throw error(.limit, "integers beyond 64 bits are not computed with")
        }
        return .integer(integer)
    }

    private static func parsedInteger(_ text: Text, radix: Int) -> Value? {
        var digits = text.stripped(nil)
        let isNegative = digits.hasPrefix("-")
        if isNegative || digits.hasPrefix("+") { digits = digits[1..<digits.count] }
        var radix = radix
        let prefix = digits[0..<min(2, digits.count)].lowercased
        if let named = [Text("0x"): 16, "0o": 8, "0b": 2][prefix], radix == named || radix == 0 {
            digits = digits[2..<digits.count]
            if digits.hasPrefix("_") { digits = digits[1..<digits.count] }
            radix = named
        } else if radix == 0 {
            // Without a prefix only zero may begin with a zero.
            guard !digits.hasPrefix("0") || digits.scalars.allSatisfy({ $0 == "0" || $0 == "_" }) else { return nil }
            radix = 10
        }
        guard let plain = digits.withoutDigitSeparators else { return nil }
        guard plain.allSatisfy({ $0.hexOrLetterValue.map { $0 < radix } ?? false }) else { return nil }
        let spelling = (isNegative ? "-" : "") + plain
        if let number = Int(spelling, radix: radix) { return .integer(number) }
        return radix == 10 ? .largeInteger(Text((isNegative ? "-" : "") + plain.drop { $0 == "0" })) : nil
    }

    /// The number that Python's `float` makes of a value; nil if it makes none.
    fileprivate func float(from value: Value) -> Double? {
        switch value {
        case .float(let number): return number
        case .bool, .integer: return value.integer.map(Double.init)
        case .largeInteger(let digits): return Double(digits.string)
        case .string(let text):
            let stripped = text.stripped(nil)
            let unsigned = stripped.stripped("+-", atEnd: false).lowercased
            let isNamed = ["inf", "infinity", "nan"].contains(unsigned) && stripped.count - unsigned.count <= 1
            guard isNamed || unsigned.scalars.allSatisfy({ "0123456789.e+-_".unicodeScalars.contains($0) }) else {
                return nil
            }
            return stripped.withoutDigitSeparators.flatMap { Double($0) }
        case .undefined, .none, .list, .tuple, .dictionary, .view, .range, .iterator, .namespace, .object: return nil
        }
    }

    fileprivate func parsedFloat(_ value: Value) throws(TemplateError) -> Double {
        if case .undefined(let undefined) = value { throw error(using: undefined) }
        guard let number = float(from: value) else {
            throw error(.operation, "could not convert \(value.typeName) to float")
        }
        return number
    }

    fileprivate func rounded(_ value: Value, digits: Int, method: Text) throws(TemplateError) -> Value {
        guard ["common", "ceil", "floor"].contains(method) else {
            throw error(.operation, "method must be common, ceil or floor")
        }
        if case .undefined(let undefined) = value { throw error(using: undefined) }
        if method == "common" {
            if case .float(let number) = value { return .float(try rounded(number, digits: digits)) }
            guard let number = value.integer else {
                throw error(.operation, "type \(value.typeName) doesn't define __round__ method")
            }
            return try rounded(number, digits: digits)
        }
        let scale = try compute(.power, .integer(10), .integer(digits))
        guard case .float(let scaled) = try compute(.multiply, compute(.multiply, value, scale), .float(1)) else {
            throw error(.operation, "must be real number, not \(value.typeName)")
        }
        let whole = scaled.rounded(method == "ceil" ? .up : .down)
        guard let integer = Int(exactly: whole) else {
            throw error(.operation, "cannot convert float to integer")
        }
        return try compute(.divide, .integer(integer), scale)
    }

    /// Rounds correctly by way of decimal digits, as Python does; a tie goes to the even digit.
    private func rounded(_ number: Double, digits: Int) throws(TemplateError) -> Double {
        guard number.isFinite, digits <= 350 else { return number }
        guard digits > -330 else { return number * 0 }
        if digits >= 0 {
            var format = FieldFormat()
            format.type = "f"
            format.precision = digits
            return Double(try field(.float(number), Text(".\(digits)f")).string) ?? number
        }
        var power = 1.0
        for _ in 0..<(-digits) { power *= 10 }
        return power.isFinite ? (number / power).rounded(.toNearestOrEven) * power : number * 0
    }

    private func rounded(_ number: Int, digits: Int) throws(TemplateError) -> Value {
        guard digits < 0 else { return .integer(number) }
        guard digits > -19 else { return .integer(0) }
        var unit = 1
        for _ in 0..<(-digits) { unit *= 10 }
        let (quotient, remainder) = number.quotientAndRemainder(dividingBy: unit)
        let twice = remainder.magnitude * 2
        let isFar = twice > UInt(unit) || (twice == UInt(unit) && quotient % 2 != 0)
        let nearest = isFar ? quotient + (number < 0 ? -1 : 1) : quotient
        return try compute(.multiply, .integer(nearest), .integer(unit))
    }

    fileprivate func withoutTags(_ text: Text) throws(TemplateError) -> Text {
        var (kept, position) = ([Unicode.Scalar](), 0)
        let open = Needle("<")
        while let start = open.first(in: text.scalars, position..<text.count) {
            let isComment = text[start..<min(start + 4, text.count)] == "<!--"
            let from = min(isComment ? start + 4 : start, text.count)
            guard let end = Needle(isComment ? "-->" : ">").first(in: text.scalars, from..<text.count) else { break }
            kept += text.scalars[position..<start]
            position = end + (isComment ? 3 : 1)
        }
        kept += text.scalars[position...]
        let words = Text(kept).words(limit: .max)
        return Self.unescaped(try joined(words, by: " "))
    }

    /// Replaces the references to the characters that `escape` replaces.
    private static func unescaped(_ text: Text) -> Text {
        let references: [(Text, Text)] = [
            ("&lt;", "<"), ("&gt;", ">"), ("&#39;", "'"), ("&#34;", "\""), ("&quot;", "\""), ("&amp;", "&"),
        ]
        return references.reduce(text) { $0.replacing($1.0, with: $1.1, limit: .max) }
    }

    fileprivate func urlEncoded(_ value: Value) throws(TemplateError) -> Value {
        let pairs: [Value]
        switch value {
        case .dictionary: pairs = try items(value)
        case .undefined, .list, .tuple, .view, .range, .iterator: pairs = try elements(of: value)
        case .string, .none, .bool, .integer, .largeInteger, .float, .namespace, .object:
            return try string(percentEncoded(value, keepsSlash: true))
        }
        var parts: [Text] = []
        for pair in pairs {
            let sides = try elements(of: pair)
            guard sides.count == 2 else { throw error(.operation, "a pair must have two elements") }
            let (name, value) = try (
                percentEncoded(sides[0], keepsSlash: false), percentEncoded(sides[1], keepsSlash: false)
            )
            parts.append(name + "=" + value)
        }
        return .string(try joined(parts, by: "&"))
    }

    private func percentEncoded(_ value: Value, keepsSlash: Bool) throws(TemplateError) -> Text {
        let text = try text(of: value)
        try spend(text.count)
        var result: [Unicode.Scalar] = []
        for byte in text.string.utf8 {
            let scalar = Unicode.Scalar(byte)
            let isPlain = scalar.isASCII && (scalar.isAlphanumeric || "_.-~".unicodeScalars.contains(scalar))
            if isPlain || (keepsSlash && scalar == "/") {
                result.append(scalar)
            } else if !keepsSlash, scalar == " " {
                result.append("+")
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                result += ("%" + (digits.utf8.count < 2 ? "0" : "") + digits).unicodeScalars
            }
        }
        return Text(result)
    }
}

extension Text {
    /// The text without the underscores that Python allows between digits; nil if one stands elsewhere.
    fileprivate var withoutDigitSeparators: String? {
        for (index, scalar) in scalars.enumerated() where scalar == "_" {
            guard index > 0, index + 1 < count, scalars[index - 1].isAlphanumeric, scalars[index + 1].isAlphanumeric
            else { return nil }
        }
        let plain = scalars.filter { $0 != "_" }
        return plain.isEmpty || plain.contains { !$0.isASCII } ? nil : Text(plain).string
    }
}

extension Character {
    /// The value of a digit in a base up to 36.
    fileprivate var hexOrLetterValue: Int? { Int(String(self), radix: 36) }
}

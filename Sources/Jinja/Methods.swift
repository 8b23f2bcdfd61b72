// The methods of Python's strings, dictionaries, lists and tuples.
extension Routine {
    /// The method of a value with that name; nil if there is none.
    static func method(_ name: Text, of value: Value) -> Routine? {
        switch value {
        case .string: textMethods[name]
        case .dictionary: mapMethods[name] ?? (mapChanges.contains(name) ? refused : nil)
        case .list: listMethods[name] ?? sequenceMethods[name] ?? (listChanges.contains(name) ? refused : nil)
        case .tuple, .range: sequenceMethods[name]
        case .float: name == "is_integer" ? isInteger : nil
        case .undefined, .none, .bool, .integer, .largeInteger, .view, .iterator, .namespace, .object: nil
        }
    }

    /// Whether a method changes its value, which the sandbox does not allow.
    static func changes(_ value: Value, _ name: Text) -> Bool {
        switch value {
        case .list: listChanges.contains(name)
        case .dictionary: mapChanges.contains(name)
        case .undefined, .none, .bool, .integer, .largeInteger, .float, .string, .tuple, .view, .range, .iterator,
            .namespace, .object:
            false
        }
    }

    private static let listChanges: Set<Text> = [
        "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove",
    ]
    private static let mapChanges: Set<Text> = ["clear", "pop", "popitem", "setdefault", "update"]

    /// Stands for a method that exists and cannot be reached.
    private static let refused = Routine.variadic { (renderer, _, _) throws(TemplateError) in
        throw renderer.error(.security, "a method that changes its object is called")
    }

    private static let isInteger = Routine { (_, value, _) throws(TemplateError) in
        if case .float(let number) = value { .bool(number.rounded() == number) } else { .bool(false) }
    }

    // MARK: Dictionaries and sequences

    private static let mapMethods: [Text: Routine] = [
        "get": Routine(["key", "default"], required: 1, positionalOnly: true) {
            (renderer, value, arguments) throws(TemplateError) in
            guard case .dictionary(let map) = value, let key = arguments[0] else { return .none }
            return map[try renderer.key(key)] ?? arguments[1] ?? .none
        },
        "keys": Routine { (renderer, value, _) throws(TemplateError) in
            try renderer.view(renderer.entries(value).map(\.key), "dict_keys")
        },
        "values": Routine { (renderer, value, _) throws(TemplateError) in
            try renderer.view(renderer.entries(value).map(\.value), "dict_values")
        },
        "items": Routine { (renderer, value, _) throws(TemplateError) in
            try renderer.view(renderer.items(value), "dict_items")
        },
        "copy": Routine { (_, value, _) throws(TemplateError) in value },
    ]

    private static let listMethods: [Text: Routine] = [
        "copy": Routine { (renderer, value, _) throws(TemplateError) in try renderer.list(renderer.elements(of: value))
        }
    ]

    private static let sequenceMethods: [Text: Routine] = [
        "index": Routine(["value", "start", "stop"], required: 1, positionalOnly: true) {
            (renderer, value, arguments) throws(TemplateError) in
            let elements = try renderer.elements(of: value)
            let range = clamped(try arguments.integer(1), try arguments.integer(2), elements.count)
            for index in range where try renderer.areEqual(elements[index], arguments[0] ?? .none) {
                return .integer(index)
            }
            throw renderer.error(.operation, "the value is not in the \(value.typeName)")
        },
        "count": Routine(["value"], required: 1, positionalOnly: true) {
            (renderer, value, arguments) throws(TemplateError) in
            var count = 0
            for element in try renderer.elements(of: value)
            where try renderer.areEqual(element, arguments[0] ?? .none) {
                count += 1
            }
            return .integer(count)
        },
    ]

    /// The indices that a method searches, from bounds that may be negative or too large.
    private static func clamped(_ start: Int?, _ stop: Int?, _ count: Int) -> Range<Int> {
        func place(_ bound: Int) -> Int { min(max(bound < 0 ? bound + count : bound, 0), count) }
        let (first, last) = (place(start ?? 0), place(stop ?? count))
        return first..<max(first, last)
    }

    // MARK: Strings

    private typealias TextBody = @Sendable (Renderer, Text, Bound) throws(TemplateError) -> Value

    private static func text(
        _ names: [Text] = [], required: Int = 0, positionalOnly: Bool = true, _ body: @escaping TextBody
    ) -> Routine {
        Routine(names, required: required, positionalOnly: positionalOnly) {
            (renderer, value, arguments) throws(TemplateError) in
            let text = try renderer.string(value)
            try renderer.spend(text.count)
            return try body(renderer, text, arguments)
        }
    }

    /// A method that changes the whole text.
    private static func mapping(_ body: @escaping @Sendable (Text) -> Text) -> Routine {
        text { (renderer, text, _) throws(TemplateError) in try renderer.string(body(text)) }
    }

    /// A method that tests all characters of a text that has some.
    private static func testing(_ isTrue: @escaping @Sendable (Unicode.Scalar) -> Bool) -> Routine {
        text { (_, text, _) throws(TemplateError) in .bool(text.count > 0 && text.scalars.allSatisfy(isTrue)) }
    }

    private static func stripping(atStart: Bool, atEnd: Bool) -> Routine {
        text(["chars"]) { (renderer, text, arguments) throws(TemplateError) in
            let set = try arguments.given(0).map { (value) throws(TemplateError) in try renderer.string(value) }
            return .string(text.stripped(set, atStart: atStart, atEnd: atEnd))
        }
    }

    private static func splitting(fromRight: Bool) -> Routine {
        text(["sep", "maxsplit"], positionalOnly: false) { (renderer, text, arguments) throws(TemplateError) in
            let limit = try arguments.integer(1) ?? -1
            let count = limit < 0 ? Int.max : limit
            guard let separator = arguments.given(0) else {
                return try renderer.list(text.words(limit: count, fromRight: fromRight).map(Value.string))
            }
            let mark = try renderer.string(separator)
            guard mark.count > 0 else { throw renderer.error(.operation, "empty separator") }
            return try renderer.list(text.split(by: mark, limit: count, fromRight: fromRight).map(Value.string))
        }
    }

    private static func partitioning(fromRight: Bool) -> Routine {
        text(["sep"], required: 1) { (renderer, text, arguments) throws(TemplateError) in
            let mark = try arguments.text(0) ?? ""
            guard mark.count > 0 else { throw renderer.error(.operation, "empty separator") }
            let needle = Needle(mark)
            let all = 0..<text.count
            let found = fromRight ? needle.last(in: text.scalars, all) : needle.first(in: text.scalars, all)
            guard let found else {
                return try renderer.tuple((fromRight ? ["", "", text] : [text, "", ""]).map(Value.string))
            }
            let end = found + mark.count
            return try renderer.tuple([
                .string(text[0..<found]), .string(text[found..<end]), .string(text[end..<text.count]),
            ])
        }
    }

    /// - Parameter isError: whether it is an error that the part does not occur.
    private static func finding(fromRight: Bool, isError: Bool) -> Routine {
        text(["sub", "start", "end"], required: 1) { (renderer, text, arguments) throws(TemplateError) in
            let part = try arguments.text(0) ?? ""
            let (start, stop) = try bounds(renderer, arguments)
            let range = clamped(start, stop, text.count)
            let needle = Needle(part)
            // An empty part is not found behind the end.
            let isBehind = (start ?? 0) > text.count
            let found = fromRight ? needle.last(in: text.scalars, range) : needle.first(in: text.scalars, range)
            if let found, !isBehind { return .integer(found) }
            guard !isError else { throw renderer.error(.operation, "substring not found") }
            return .integer(-1)
        }
    }

    private static func bounds(_ renderer: Renderer, _ arguments: Bound) throws(TemplateError) -> (Int?, Int?) {
        let start = try arguments.given(1).map { (value) throws(TemplateError) in try renderer.integer(value) }
        let stop = try arguments.given(2).map { (value) throws(TemplateError) in try renderer.integer(value) }
        return (start, stop)
    }

    private static func affixTest(_ matches: @escaping @Sendable (Text, Text) -> Bool) -> Routine {
        text(["affix", "start", "end"], required: 1) { (renderer, text, arguments) throws(TemplateError) in
            var affixes = [arguments[0] ?? .none]
            if case .tuple(let elements) = arguments[0] { affixes = elements.values }
            let (start, stop) = try bounds(renderer, arguments)
            let part = text[clamped(start, stop, text.count)]
            for affix in affixes where matches(part, try renderer.string(affix)) {
                return .bool((start ?? 0) <= text.count)
            }
            return .bool(false)
        }
    }

    private static func padding(_ side: Alignment) -> Routine {
        text(["width", "fillchar"], required: 1) { (renderer, text, arguments) throws(TemplateError) in
            let fill = try arguments.text(1) ?? " "
            guard fill.count == 1 else {
                throw renderer.error(.operation, "The fill character must be exactly one character long")
            }
            let width = try arguments.integer(0) ?? 0
            try renderer.spend(max(0, width))
            let mark = text.isMarkup ? fill.escapedForHTML : fill
            guard mark.count == 1 else {
                throw renderer.error(.operation, "The fill character must be exactly one character long")
            }
            return .string(text.padded(to: width, with: mark.scalars[0], side))
        }
    }

    private static let textMethods: [Text: Routine] = [
        "upper": mapping(\.uppercased), "lower": mapping(\.lowercased), "title": mapping(\.titlecased),
        "capitalize": mapping(\.capitalized), "swapcase": mapping(\.caseSwapped),
        "isspace": testing(\.isPythonSpace), "isalpha": testing(\.isLetter), "isdigit": testing(\.isDigit),
        "isdecimal": testing(\.isDecimal), "isnumeric": testing(\.isNumeric), "isalnum": testing(\.isAlphanumeric),
        "isascii": text { (_, text, _) throws(TemplateError) in .bool(text.scalars.allSatisfy(\.isASCII)) },
        "isprintable": text { (_, text, _) throws(TemplateError) in .bool(text.scalars.allSatisfy(\.isPythonPrintable))
        },
        "isidentifier": text { (_, text, _) throws(TemplateError) in
            .bool(text.scalars.first?.startsIdentifier == true && text.scalars.allSatisfy(\.continuesIdentifier))
        },
        "isupper": text { (_, text, _) throws(TemplateError) in .bool(text.isCased(upper: true)) },
        "islower": text { (_, text, _) throws(TemplateError) in .bool(text.isCased(upper: false)) },
        "istitle": text { (_, text, _) throws(TemplateError) in .bool(text.isTitle) },
        "strip": stripping(atStart: true, atEnd: true), "lstrip": stripping(atStart: true, atEnd: false),
        "rstrip": stripping(atStart: false, atEnd: true),
        "split": splitting(fromRight: false), "rsplit": splitting(fromRight: true),
        "partition": partitioning(fromRight: false), "rpartition": partitioning(fromRight: true),
        "find": finding(fromRight: false, isError: false), "rfind": finding(fromRight: true, isError: false),
        "index": finding(fromRight: false, isError: true), "rindex": finding(fromRight: true, isError: true),
        "startswith": affixTest { $0.hasPrefix($1) }, "endswith": affixTest { $0.hasSuffix($1) },
        "ljust": padding(.left), "rjust": padding(.right), "center": padding(.center),
        "splitlines": text(["keepends"], positionalOnly: false) { (renderer, text, arguments) throws(TemplateError) in
            try renderer.list(text.lines(keepingEnds: arguments.integer(0) ?? 0 != 0).map(Value.string))
        },
        "join": text(["values"], required: 1) { (renderer, text, arguments) throws(TemplateError) in
            var parts: [Text] = []
            for (index, value) in try renderer.elements(of: arguments[0] ?? .none).enumerated() {
                if case .undefined(let undefined) = value { throw renderer.error(using: undefined) }
                guard let part = value.text else {
                    throw renderer.error(
                        .operation, "sequence item \(index): expected str instance, \(value.typeName) found")
                }
                parts.append(text.isMarkup ? part.escapedForHTML : part)
            }
            return .string(Text(try renderer.joined(parts, by: text).scalars, isMarkup: text.isMarkup))
        },
        "replace": text(["old", "new", "count"], required: 2) { (renderer, text, arguments) throws(TemplateError) in
            let new = try arguments.text(1) ?? ""
            return .string(
                try renderer.replacing(
                    text, try arguments.text(0) ?? "", with: text.isMarkup ? new.escapedForHTML : new,
                    limit: try arguments.integer(2) ?? -1))
        },
        "count": text(["sub", "start", "end"], required: 1) { (renderer, text, arguments) throws(TemplateError) in
            let (start, stop) = try bounds(renderer, arguments)
            guard (start ?? 0) <= text.count else { return .integer(0) }
            let part = text[clamped(start, stop, text.count)]
            return .integer(Needle(try arguments.text(0) ?? "").all(in: part.scalars).count)
        },
        "zfill": text(["width"], required: 1) { (renderer, text, arguments) throws(TemplateError) in
            let width = max(0, try arguments.integer(0) ?? 0)
            try renderer.spend(width)
            let signLength = ["+", "-"].contains(text.scalars.first) ? 1 : 0
            let digits = text[signLength..<text.count].padded(to: width - signLength, with: "0", .right)
            return .string(Text(text.scalars.prefix(signLength) + digits.scalars, isMarkup: text.isMarkup))
        },
        "removeprefix": text(["prefix"], required: 1) { (_, text, arguments) throws(TemplateError) in
            let prefix = try arguments.text(0) ?? ""
            return .string(text.hasPrefix(prefix) ? text[prefix.count..<text.count] : text)
        },
        "removesuffix": text(["suffix"], required: 1) { (_, text, arguments) throws(TemplateError) in
            let suffix = try arguments.text(0) ?? ""
            return .string(text.hasSuffix(suffix) ? text[0..<(text.count - suffix.count)] : text)
        },
        "expandtabs": text(["tabsize"], positionalOnly: false) { (renderer, text, arguments) throws(TemplateError) in
            let size = try arguments.integer(0) ?? 8
            var (result, column) = ([Unicode.Scalar](), 0)
            for scalar in text.scalars {
                if scalar == "\t" {
                    let room = size > 0 ? size - column % size : 0
                    try renderer.spend(room)
                    result += Array(repeating: " ", count: room)
                    column += room
                } else {
                    result.append(scalar)
                    column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
                }
            }
            return .string(Text(result, isMarkup: text.isMarkup))
        },
        "format": .variadic { (renderer, value, arguments) throws(TemplateError) in
            try renderer.format(try renderer.string(value), arguments)
        },
        "format_map": text(["mapping"], required: 1) { (renderer, text, arguments) throws(TemplateError) in
            var named = Arguments()
            for entry in try renderer.entries(arguments[0] ?? .none) {
                if let name = entry.key.text { named.named.append((name, entry.value)) }
            }
            return try renderer.format(text, named)
        },
    ]
}

extension Renderer {
    /// The entries of a dictionary, which a value must be.
    func entries(_ value: Value) throws(TemplateError) -> [OrderedMap.Entry] {
        if case .undefined(let undefined) = value { throw error(using: undefined) }
        guard case .dictionary(let map) = value else {
            throw error(.operation, "'\(value.typeName)' object is not a mapping")
        }
        return map.entries
    }

    /// The entries of a dictionary as tuples.
    func items(_ value: Value) throws(TemplateError) -> [Value] {
        var items: [Value] = []
        for entry in try entries(value) { items.append(try tuple([entry.key, entry.value])) }
        return items
    }

    func joined(_ parts: [Text], by separator: Text) throws(TemplateError) -> Text {
        var result: [Unicode.Scalar] = []
        var length = max(0, parts.count - 1).multipliedReportingOverflow(by: separator.count).partialValue
        for part in parts { length += part.count }
        try spend(length)
        for (index, part) in parts.enumerated() {
            if index > 0 { result += separator.scalars }
            result += part.scalars
        }
        return Text(result)
    }

    /// - Parameter limit: how often to replace; always if it is negative.
    func replacing(_ text: Text, _ old: Text, with new: Text, limit: Int) throws(TemplateError) -> Text {
        try spend(text.count + old.count)
        // Every place takes at least one character of the text, so this bounds the result before it is made.
        let places = Needle(old).all(in: text.scalars, limit: limit < 0 ? .max : limit).count
        try spend(places, each: max(1, new.count))
        return Text(
            text.replacing(old, with: new, limit: limit < 0 ? .max : limit).scalars, isMarkup: text.isMarkup)
    }
}

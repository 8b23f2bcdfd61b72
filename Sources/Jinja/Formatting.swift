import Glibc

/// How Python prints a value in a field: the mini-language of `format`, which the `%` operator shares in part.
struct FieldFormat {
    var fill: Unicode.Scalar = " "
    /// nil for the value's own side: numbers at the right, texts at the left.
    var alignment: Alignment?
    /// Whether the room goes between the sign and the digits.
    var padsAfterSign = false
    /// What stands before a number that is not negative: "+", " " or nothing.
    var sign = ""
    /// Whether a prefix shows the base.
    var isAlternate = false
    var width = 0
    /// What separates groups of digits.
    var grouping = ""
    var precision: Int?
    var type: Unicode.Scalar?

    init() {}

    /// Reads a specification such as `>10.2f`; nil if it is none.
    init?(_ specification: Text) {
        var rest = specification.scalars[...]
        func side(_ scalar: Unicode.Scalar?) -> Alignment? {
            scalar == "<" ? .left : scalar == ">" || scalar == "=" ? .right : scalar == "^" ? .center : nil
        }
        func take(_ choices: Unicode.Scalar...) -> Unicode.Scalar? {
            guard let first = rest.first, choices.contains(first) else { return nil }
            return rest.removeFirst()
        }
        func number() -> Int? {
            let digits = rest.prefix { ("0"..."9").contains($0) }
            rest = rest[digits.endIndex...]
            return Int(Text(digits).string)
        }
        let mark = rest.dropFirst().first
        var hasFill = false
        if let found = side(mark), let fill = rest.first {
            (alignment, self.fill, padsAfterSign, hasFill) = (found, fill, mark == "=", true)
            rest = rest.dropFirst(2)
        } else if let found = side(rest.first) {
            (alignment, padsAfterSign) = (found, rest.first == "=")
            rest = rest.dropFirst()
        }
        sign = take("+", " ", "-").map { $0 == "-" ? "" : String($0) } ?? ""
        isAlternate = take("#") != nil
        if rest.first == "0", !hasFill {
            fill = "0"
            if alignment == nil { padsAfterSign = true }
        }
        if let first = rest.first, ("0"..."9").contains(first) {
            guard let width = number() else { return nil }
            self.width = width
        }
        grouping = take(",", "_").map { String($0) } ?? ""
        if take(".") != nil {
            guard let precision = number() else { return nil }
            self.precision = precision
        }
        type = rest.popFirst()
        guard rest.isEmpty else { return nil }
    }

    /// Pads a text that is not a number.
    func padded(_ text: Text) -> Text {
        let shown = precision.map { text[0..<min($0, text.count)] } ?? text
        return shown.padded(to: width, with: fill, alignment ?? .left)
    }

    /// Puts a number together from its sign, the prefix of its base, its digits and the rest.
    func padded(isNegative: Bool, prefix: String = "", digits: String, rest: String = "") -> Text {
        let head = (isNegative ? "-" : sign) + prefix
        var (digits, grouped) = (digits, grouped(digits))
        if padsAfterSign, fill == "0", !grouping.isEmpty {
            // The zeros are grouped too.
            while head.count + grouped.count + rest.count < width {
                digits = "0" + digits
                grouped = self.grouped(digits)
            }
        }
        let body = Text(grouped + rest)
        guard padsAfterSign else { return (Text(head) + body).padded(to: width, with: fill, alignment ?? .right) }
        return Text(head) + body.padded(to: max(0, width - head.count), with: fill, .right)
    }

    private func grouped(_ digits: String) -> String {
        guard !grouping.isEmpty else { return digits }
        let size = type.map { "boxX".unicodeScalars.contains($0) } == true ? 4 : 3
        var result = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % size == 0 { result += grouping }
            result.append(digit)
        }
        return result
    }
}

extension Renderer {
    // MARK: Fields

    /// What `format(value, specification)` gives.
    func field(_ value: Value, _ specification: Text) throws(TemplateError) -> Text {
        if specification.count == 0 { return try text(of: value) }
        guard let format = FieldFormat(specification) else {
            throw error(.operation, "Invalid format specifier")
        }
        try spend(format.width)
        switch value {
        case .string(let text):
            guard format.type == nil || format.type == "s", !format.padsAfterSign || format.alignment == nil else {
                throw unknownFormat(format.type, value)
            }
            try spend(text.count)
            return format.padded(text)
        case .float(let number): return try self.number(number, format, value)
        case .bool, .integer:
            guard let number = value.integer else { return "" }
            switch format.type {
            case "e", "E", "f", "F", "g", "G", "%": return try self.number(Double(number), format, value)
            default: return try integer(number, format, value)
            }
        case .undefined, .none, .largeInteger, .list, .tuple, .dictionary, .view, .range, .iterator, .namespace,
            .object:
            throw error(.operation, "unsupported format string passed to \(value.typeName).__format__")
        }
    }

    private func unknownFormat(_ type: Unicode.Scalar?, _ value: Value) -> TemplateError {
        error(
            .operation,
            "Unknown format code '\(type.map { String($0) } ?? "")' for object of type '\(value.typeName)'")
    }

    private func integer(_ number: Int, _ format: FieldFormat, _ value: Value) throws(TemplateError) -> Text {
        guard format.precision == nil else {
            throw error(.operation, "Precision not allowed in integer format specifier")
        }
        func digits(_ radix: Int, _ prefix: String, uppercase: Bool = false) -> Text {
            format.padded(
                isNegative: number < 0, prefix: format.isAlternate ? prefix : "",
                digits: String(number.magnitude, radix: radix, uppercase: uppercase))
        }
        switch format.type {
        case nil, "d", "n": return digits(10, "")
        case "b": return digits(2, "0b")
        case "o": return digits(8, "0o")
        case "x": return digits(16, "0x")
        case "X": return digits(16, "0X", uppercase: true)
        case "c": return format.padded(Text([try character(number)]))
        default: throw unknownFormat(format.type, value)
        }
    }

    private func character(_ number: Int) throws(TemplateError) -> Unicode.Scalar {
        guard let code = UInt32(exactly: number), let scalar = Unicode.Scalar(code) else {
            throw error(.operation, "%c arg not in range(0x110000)")
        }
        return scalar
    }

    private func number(_ number: Double, _ format: FieldFormat, _ value: Value) throws(TemplateError) -> Text {
        let type = format.type ?? "r"
        guard "reEfFgG%n".unicodeScalars.contains(type) else { throw unknownFormat(format.type, value) }
        var digits: String
        if type == "r", format.precision == nil {
            digits = number.magnitude.pythonRepresentation
        } else {
            let scaled = type == "%" ? number.magnitude * 100 : number.magnitude
            digits = try decimal(scaled, type, precision: format.precision ?? 6, isAlternate: format.isAlternate)
            if type == "r", digits.allSatisfy(\.isNumber) { digits += ".0" }
            if type == "%" { digits += "%" }
        }
        if number.isNaN { digits = type.properties.isUppercase ? "NAN" : "nan" }
        let whole = digits.prefix { $0.isNumber }
        return format.padded(
            isNegative: number.sign == .minus && !number.isNaN, digits: String(whole),
            rest: String(digits.dropFirst(whole.count)))
    }

    /// The digits of a number as C prints them.
    private func decimal(
        _ number: Double, _ type: Unicode.Scalar, precision: Int, isAlternate: Bool
    ) throws(TemplateError) -> String {
        try spend(precision)
        guard let precision = Int32(exactly: precision) else { throw error(.limit, "precision too big") }
        let letter = type == "%" ? "f" : type == "r" || type == "n" ? "g" : type
        var buffer = [CChar](repeating: 0, count: 400 + Int(precision))
        let length = withVaList([precision, number]) {
            vsnprintf(&buffer, buffer.count, "%\(isAlternate ? "#" : "").*\(letter)", $0)
        }
        return String(decoding: buffer.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    // MARK: The operator %

    /// What Python's `format % values` gives.
    func format(_ format: Text, with values: Value) throws(TemplateError) -> Value {
        var arguments: [Value]
        if case .tuple(let tuple) = values { arguments = tuple.values } else { arguments = [values] }
        // Whatever has items may leave some of them unused.
        let hasItems =
            switch values {
            case .dictionary, .list, .range, .undefined: true
            case .none, .bool, .integer, .largeInteger, .float, .string, .tuple, .view, .iterator, .namespace, .object:
                false
            }
        arguments.reverse()
        var result = Text("")
        var index = 0
        func scalar() throws(TemplateError) -> Unicode.Scalar {
            guard index < format.count else { throw error(.operation, "incomplete format") }
            defer { index += 1 }
            return format.scalars[index]
        }
        func argument() throws(TemplateError) -> Value {
            guard let value = arguments.popLast() else {
                throw error(.operation, "not enough arguments for format string")
            }
            return value
        }
        /// A number that is written out, or the next argument for `*`.
        func size() throws(TemplateError) -> Int? {
            if index < format.count, format.scalars[index] == "*" {
                index += 1
                guard let size = try argument().integer else { throw error(.operation, "* wants int") }
                return size
            }
            let start = index
            while index < format.count, ("0"..."9").contains(format.scalars[index]) { index += 1 }
            guard index > start else { return nil }
            guard let size = Int(format[start..<index].string) else { throw error(.limit, "width too big") }
            return size
        }
        while index < format.count {
            guard format.scalars[index] == "%" else {
                result.scalars.append(format.scalars[index])
                index += 1
                continue
            }
            index += 1
            var value: Value?
            if index < format.count, format.scalars[index] == "(" {
                let start = index + 1
                var depth = 0
                repeat {
                    let next = try scalar()
                    depth += next == "(" ? 1 : next == ")" ? -1 : 0
                } while depth > 0
                guard case .dictionary(let map) = values else { throw error(.operation, "format requires a mapping") }
                let name = format[start..<(index - 1)]
                guard let found = map[.string(Text(name.scalars))] else {
                    throw error(.operation, "KeyError: \(name.representation)")
                }
                value = found
            }
            var field = FieldFormat()
            field.alignment = .right
            while index < format.count, let flag = Optional(format.scalars[index]),
                "#0- +".unicodeScalars.contains(flag)
            {
                index += 1
                switch flag {
                case "#": field.isAlternate = true
                case "0": if field.alignment == .right { (field.fill, field.padsAfterSign) = ("0", true) }
                case "-": (field.alignment, field.fill, field.padsAfterSign) = (.left, " ", false)
                case "+": field.sign = "+"
                default: if field.sign.isEmpty { field.sign = " " }
                }
            }
            let width = try size() ?? 0
            if width < 0 { (field.alignment, field.fill, field.padsAfterSign) = (.left, " ", false) }
            field.width = Int(clamping: width.magnitude)
            if index < format.count, format.scalars[index] == "." {
                index += 1
                field.precision = max(0, try size() ?? 0)
            }
            while index < format.count, "hlL".unicodeScalars.contains(format.scalars[index]) { index += 1 }
            field.type = try scalar()
            try spend(field.width)
            if field.type == "%" {
                result.scalars.append("%")
                continue
            }
            let shown: Value
            if let value { shown = value } else { shown = try argument() }
            let text = try percent(shown, field, escapes: format.isMarkup)
            result.scalars += text.scalars
            try checkSize(result.count)
        }
        guard arguments.isEmpty || hasItems else {
            throw error(.operation, "not all arguments converted during string formatting")
        }
        result.isMarkup = format.isMarkup
        return try string(result)
    }

    private func percent(_ value: Value, _ format: FieldFormat, escapes: Bool) throws(TemplateError) -> Text {
        var format = format
        switch format.type {
        case "s", "r", "a":
            var text = format.type == "s" ? try softText(of: value) : try representation(of: value)
            if format.type == "a" { text = text.escapedForASCII }
            format.fill = " "
            return format.padded(escapes ? text.escapedForHTML : text)
        case "d", "i", "u", "x", "X", "o":
            let isDecimal = !["x", "X", "o"].contains(format.type)
            var number = value.integer
            if case .float(let float) = value, isDecimal { number = Int(exactly: float.rounded(.towardZero)) }
            if case .largeInteger(let digits) = value, isDecimal {
                return format.padded(isNegative: digits.hasPrefix("-"), digits: digits.stripped("-").string)
            }
            if case .undefined(let undefined) = value { throw error(using: undefined) }
            guard let number else {
                throw error(
                    .operation,
                    "%\(format.type.map { String($0) } ?? "") format: a number is required, not \(value.typeName)")
            }
            let precision = format.precision ?? 0
            format.precision = nil
            if isDecimal { format.type = "d" }
            try spend(precision)
            let radix = isDecimal ? 10 : format.type == "o" ? 8 : 16
            let digits = String(number.magnitude, radix: radix, uppercase: format.type == "X")
            let prefix =
                isDecimal || !format.isAlternate ? "" : format.type == "o" ? "0o" : format.type == "x" ? "0x" : "0X"
            return format.padded(
                isNegative: number < 0, prefix: prefix,
                digits: String(repeating: "0", count: max(0, precision - digits.count)) + digits)
        case "e", "E", "f", "F", "g", "G":
            if case .undefined(let undefined) = value { throw error(using: undefined) }
            if case .float(let number) = value { return try self.number(number, format, value) }
            guard let number = value.integer else {
                throw error(.operation, "must be real number, not \(value.typeName)")
            }
            return try self.number(Double(number), format, value)
        case "c":
            format.fill = " "
            if let text = value.text, text.count == 1 { return format.padded(text) }
            guard let number = value.integer else { throw error(.operation, "%c requires int or char") }
            return format.padded(Text([try character(number)]))
        default:
            throw error(.operation, "unsupported format character '\(format.type.map { String($0) } ?? "")'")
        }
    }

    // MARK: The method format

    /// What Python's `template.format(*positional, **named)` gives.
    func format(_ template: Text, _ arguments: Arguments) throws(TemplateError) -> Value {
        var counter: Int? = 0
        let result = try format(template, arguments, counter: &counter, depth: 2)
        return try string(Text(result.scalars, isMarkup: template.isMarkup))
    }

    /// - Parameter counter: the number of the next field without a name; nil after one with a number.
    private func format(
        _ template: Text, _ arguments: Arguments, counter: inout Int?, depth: Int
    ) throws(TemplateError) -> Text {
        guard depth >= 0 else { throw error(.operation, "Max string recursion exceeded") }
        var result = Text("")
        var index = 0
        let scalars = template.scalars
        while index < scalars.count {
            let scalar = scalars[index]
            index += 1
            let isDoubled = index < scalars.count && scalars[index] == scalar
            guard scalar == "{" || scalar == "}", !isDoubled else {
                result.scalars.append(scalar)
                if scalar == "{" || scalar == "}" { index += 1 }
                continue
            }
            guard scalar == "{" else { throw error(.operation, "Single '}' encountered in format string") }
            let start = index
            var open = 1
            while index < scalars.count, open > 0 {
                open += scalars[index] == "{" ? 1 : scalars[index] == "}" ? -1 : 0
                index += 1
            }
            guard open == 0 else { throw error(.operation, "expected '}' before end of string") }
            let inside = template[start..<(index - 1)]
            let nameEnd = inside.scalars.firstIndex { $0 == ":" || $0 == "!" } ?? inside.count
            var value = try fieldValue(inside[0..<nameEnd], arguments, &counter)
            var rest = inside[nameEnd..<inside.count]
            if rest.hasPrefix("!") {
                guard rest.count >= 2, rest.count == 2 || rest.scalars[2] == ":" else {
                    throw error(.operation, "expected ':' after conversion specifier")
                }
                switch rest.scalars[1] {
                case "r": value = .string(try representation(of: value))
                case "a": value = .string(try representation(of: value).escapedForASCII)
                case "s": value = .string(try text(of: value))
                default: throw error(.operation, "Unknown conversion specifier")
                }
                rest = rest[2..<rest.count]
            }
            let specification = rest.count > 0 ? rest[1..<rest.count] : rest
            let shown = try field(
                value, try format(Text(specification.scalars), arguments, counter: &counter, depth: depth - 1))
            result.scalars += (template.isMarkup && value.text?.isMarkup != true ? shown.escapedForHTML : shown).scalars
            try checkSize(result.count)
        }
        return result
    }

    private func fieldValue(
        _ name: Text, _ arguments: Arguments, _ counter: inout Int?
    ) throws(TemplateError) -> Value {
        var index = name.scalars.firstIndex { $0 == "." || $0 == "[" } ?? name.count
        let first = name[0..<index].string
        var value: Value
        if first.isEmpty || Int(first) != nil {
            let place: Int
            if let number = Int(first) {
                guard counter == nil || counter == 0 else {
                    throw error(
                        .operation, "cannot switch from automatic field numbering to manual field specification")
                }
                counter = nil
                place = number
            } else {
                guard let next = counter else {
                    throw error(
                        .operation, "cannot switch from manual field specification to automatic field numbering")
                }
                counter = next + 1
                place = next
            }
            guard arguments.positional.indices.contains(place) else {
                throw error(.operation, "Replacement index \(place) out of range for positional args tuple")
            }
            value = arguments.positional[place]
        } else {
            guard let found = arguments.named.first(where: { $0.name.string == first })?.value else {
                throw error(.operation, "KeyError: '\(first)'")
            }
            value = found
        }
        while index < name.count {
            let isItem = name.scalars[index] == "["
            let start = index + 1
            let rest = name.scalars[start...]
            let end = rest.firstIndex { isItem ? $0 == "]" : $0 == "." || $0 == "[" }
            guard let end = end ?? (isItem ? nil : name.count), end > start else {
                throw error(.operation, "Empty attribute in format string")
            }
            let part = Text(name.scalars[start..<end])
            if isItem {
                value = try item(Int(part.string).map(Value.integer) ?? .string(part), of: value)
            } else {
                value = try attribute(part, of: value)
            }
            index = isItem ? end + 1 : end
            guard !isItem || index == name.count || ".[".unicodeScalars.contains(name.scalars[index]) else {
                throw error(.operation, "Only '.' or '[' may follow ']' in format field specifier")
            }
        }
        return value
    }
}

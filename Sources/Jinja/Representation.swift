// How values are printed: Python's `str` and `repr`.

extension Renderer {
    /// What `str` gives.
    func text(of value: Value) throws(TemplateError) -> Text {
        switch value {
        case .undefined: return ""
        // Joining a text by `~` or in the output is not `Markup` any more.
        case .string(let text): return Text(text.scalars)
        case .none, .bool, .integer, .largeInteger, .float, .list, .tuple, .dictionary, .view, .range, .iterator,
            .namespace, .object:
            return try representation(of: value)
        }
    }

    /// What `repr` gives.
    func representation(of value: Value) throws(TemplateError) -> Text {
        var result = Text("")
        try write(value, to: &result)
        return result
    }

    private func write(_ value: Value, to result: inout Text) throws(TemplateError) {
        let start = result.count
        switch value {
        case .undefined: result.append("Undefined")
        case .none: result.append("None")
        case .bool(let truth): result.append(truth ? "True" : "False")
        case .integer(let number): result.append(String(number))
        case .largeInteger(let digits): result.append(digits.string)
        case .float(let number): result.append(number.pythonRepresentation)
        case .string(let text):
            try spend(text.count)
            result.append(text.isMarkup ? "Markup(\(text.representation))" : text.representation)
        case .list(let elements): try write(elements.values, "[", "]", to: &result)
        case .tuple(let elements): try write(elements.values, "(", elements.values.count == 1 ? ",)" : ")", to: &result)
        case .view(let elements): try write(elements.values, "\(elements.typeName)([", "])", to: &result)
        case .dictionary(let dictionary): try write(dictionary.entries, to: &result)
        case .range(let range):
            result.append("range(\(range.start), \(range.stop)\(range.step == 1 ? "" : ", \(range.step)"))")
        case .namespace(let namespace):
            let isOpen = printedNamespaces.contains { $0 === namespace }
            result.append("<Namespace ")
            if isOpen {
                result.append("{...}")
            } else {
                printedNamespaces.append(namespace)
                defer { printedNamespaces.removeLast() }
                try write(namespace.attributes.map { (key: .string($0.name), value: $0.value) }, to: &result)
            }
            result.append(">")
        case .iterator: result.append("<generator object>")
        // Where Python prints an address, this does not.
        case .object(let object): result.append("<\(object.description)>")
        }
        try spend(result.count - start)
    }

    private func write(
        _ values: [Value], _ opening: String, _ closing: String, to result: inout Text
    ) throws(TemplateError) {
        result.append(opening)
        for (index, value) in values.enumerated() {
            if index > 0 { result.append(", ") }
            try nested { () throws(TemplateError) in try write(value, to: &result) }
        }
        result.append(closing)
    }

    private func write(_ entries: [OrderedMap.Entry], to result: inout Text) throws(TemplateError) {
        result.append("{")
        for (index, entry) in entries.enumerated() {
            if index > 0 { result.append(", ") }
            try nested { () throws(TemplateError) in try write(entry.key, to: &result) }
            result.append(": ")
            try nested { () throws(TemplateError) in try write(entry.value, to: &result) }
        }
        result.append("}")
    }
}

extension Text {
    mutating func append(_ string: String) { scalars += string.unicodeScalars }

    /// What `repr` gives for a string.
    var representation: String {
        let quote: Unicode.Scalar = scalars.contains("'") && !scalars.contains("\"") ? "\"" : "'"
        var result = String(quote)
        for scalar in scalars {
            switch scalar {
            case quote, "\\": result += "\\" + String(scalar)
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.isPythonPrintable: result.unicodeScalars.append(scalar)
            default: result += "\\" + scalar.pythonEscape
            }
        }
        return result + String(quote)
    }

    /// The text with escapes for all that is not ASCII.
    var escapedForASCII: Text {
        Text(scalars.flatMap { $0.isASCII ? [$0] : Array(("\\" + $0.pythonEscape).unicodeScalars) })
    }

    static func hexadecimal(_ value: UInt32, width: Int) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

extension Unicode.Scalar {
    /// The escape of a character in Python, without its backslash.
    var pythonEscape: String {
        let (mark, width) = value < 0x100 ? ("x", 2) : value < 0x10000 ? ("u", 4) : ("U", 8)
        return mark + Text.hexadecimal(value, width: width)
    }
}

extension Double {
    /// What `repr` gives: the shortest digits that give the same number, with an exponent from 1e16 and below 1e-4.
    var pythonRepresentation: String {
        guard isFinite else { return isNaN ? "nan" : self < 0 ? "-inf" : "inf" }
        let sign = self.sign == .minus ? "-" : ""
        guard self != 0 else { return sign + "0.0" }
        let (digits, point) = magnitude.shortestDigits
        if point > 16 || point < -3 {
            let fraction = digits.dropFirst().isEmpty ? "" : "." + digits.dropFirst()
            let exponent = point - 1
            let size = String(exponent.magnitude)
            return
                "\(sign)\(digits.prefix(1))\(fraction)e\(exponent < 0 ? "-" : "+")\(size.count < 2 ? "0" : "")\(size)"
        }
        if point <= 0 { return "\(sign)0.\(String(repeating: "0", count: -point))\(digits)" }
        if digits.count <= point {
            return "\(sign)\(digits)\(String(repeating: "0", count: point - digits.count)).0"
        }
        return "\(sign)\(digits.prefix(point)).\(digits.dropFirst(point))"
    }

    /// The digits of a positive number, and the place of the decimal point in them, from the left.
    private var shortestDigits: (digits: String, point: Int) {
        // Swift prints the shortest digits too; only its layout differs.
        let parts = description.split(separator: "e")
        let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        let halves = parts[0].split(separator: ".")
        let fraction = halves.count > 1 && halves[1] != "0" ? String(halves[1]) : ""
        var digits = String(halves[0]) + fraction
        var point = halves[0].count + exponent
        let zeros = digits.prefix { $0 == "0" }.count
        digits.removeFirst(zeros)
        point -= zeros
        while digits.count > 1, digits.last == "0" { digits.removeLast() }
        return (digits, point)
    }
}

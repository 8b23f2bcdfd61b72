// Properties of characters and changes of case, as Python's `str` defines them.

extension Unicode.Scalar {
    /// Whether Python's `str.isspace` and `\s` take it for white space.
    ///
    /// Unlike Unicode's own property this includes the four separators of ASCII.
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// Whether `str.splitlines` ends a line here.
    var endsPythonLine: Bool {
        switch value {
        case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    /// Whether `repr` shows it as itself.
    var isPythonPrintable: Bool {
        if isASCII { return (0x20..<0x7F).contains(value) }
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }

    var isLetter: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    var isDecimal: Bool { properties.numericType == .decimal }
    var isDigit: Bool { properties.numericType == .digit || isDecimal }
    var isNumeric: Bool { properties.numericType != nil }
    var isAlphanumeric: Bool { isLetter || isNumeric }
    /// Whether it is part of a word for `\w`.
    var isWordPart: Bool { isAlphanumeric || self == "_" }
    var isTitlecase: Bool { properties.generalCategory == .titlecaseLetter }
    var startsIdentifier: Bool { self == "_" || properties.isXIDStart }
    var continuesIdentifier: Bool { properties.isXIDContinue }
}

extension Text {
    var uppercased: Text { mapped { scalars[$0].properties.uppercaseMapping } }

    var lowercased: Text { mapped { lowercase(at: $0) } }

    /// The first character in title case and the rest in lower case.
    var capitalized: Text { mapped { $0 == 0 ? scalars[0].properties.titlecaseMapping : lowercase(at: $0) } }

    /// The first letter after each character without case in title case, and the other letters in lower case.
    var titlecased: Text {
        mapped {
            $0 > 0 && scalars[$0 - 1].properties.isCased
                ? lowercase(at: $0) : scalars[$0].properties.titlecaseMapping
        }
    }

    var caseSwapped: Text {
        mapped { index in
            let properties = scalars[index].properties
            if properties.isUppercase { return lowercase(at: index) }
            return properties.isLowercase ? properties.uppercaseMapping : String(scalars[index])
        }
    }

    /// Whether there is a letter with that case, and none with another.
    func isCased(upper: Bool) -> Bool {
        var isFound = false
        for scalar in scalars {
            let properties = scalar.properties
            if scalar.isTitlecase || (upper ? properties.isLowercase : properties.isUppercase) { return false }
            isFound = isFound || (upper ? properties.isUppercase : properties.isLowercase)
        }
        return isFound
    }

    /// Whether capital letters begin words, and small ones continue them.
    var isTitle: Bool {
        var (isFound, wasCased) = (false, false)
        for scalar in scalars {
            let properties = scalar.properties
            let isCapital = properties.isUppercase || scalar.isTitlecase
            if isCapital ? wasCased : (properties.isLowercase && !wasCased) { return false }
            wasCased = isCapital || properties.isLowercase
            isFound = isFound || wasCased
        }
        return isFound
    }

    private func mapped(_ mapping: (Int) -> String) -> Text {
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(count)
        for index in scalars.indices { result += mapping(index).unicodeScalars }
        return Text(result, isMarkup: isMarkup)
    }

    /// The lower case of a character; a capital sigma has another one at the end of a word.
    private func lowercase(at index: Int) -> String {
        guard scalars[index] == "\u{3A3}" else { return scalars[index].properties.lowercaseMapping }
        let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
        let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
        return before?.properties.isCased == true && after?.properties.isCased != true ? "\u{3C2}" : "\u{3C3}"
    }
}
